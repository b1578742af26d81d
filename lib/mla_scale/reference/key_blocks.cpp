#include <mla_scale/reference/key_blocks.hpp>

#include <algorithm>
#include <limits>

namespace mla_scale::reference {
namespace {

// A quarter of the smallest memory that a large capture is checked in.
constexpr std::int64_t k_kept_bytes = std::int64_t{512} << 20;
constexpr std::int64_t k_block_bytes = std::int64_t{128} << 20;
constexpr std::int64_t k_copied_bytes = std::int64_t{256} << 20;
constexpr std::int64_t k_step = 256; // a multiple of the tiles that keys are converted in

bool has_heads_side_by_side(const tensor::View3& view) {
  return view.heads > 1 && view.head_stride < view.token_stride;
}

std::int64_t bytes_per_token(const tensor::View3& view) {
  return view.heads * view.width * static_cast<std::int64_t>(size_of(view.tensor->dtype));
}

} // namespace

std::int64_t bytes_per_key(const Problem& problem) {
  return problem.form == Form::expanded ? bytes_per_token(*problem.k) + bytes_per_token(*problem.v)
                                        : bytes_per_token(*problem.kv_c);
}

bool is_large(const Problem& problem) {
  // All heads have the same keys in a latent.
  return problem.form == Form::expanded && problem.chosen_heads().size() > 1
         && (has_heads_side_by_side(*problem.k) || has_heads_side_by_side(*problem.v))
         && bytes_per_key(problem) * problem.k->tokens > k_kept_bytes;
}

std::int64_t keys_per_block(const Problem& problem) {
  if (problem.key_block == 0 && !is_large(problem)) {
    return std::numeric_limits<std::int64_t>::max() / k_step * k_step;
  }
  const std::int64_t keys =
      problem.key_block > 0 ? problem.key_block : k_block_bytes / bytes_per_key(problem);
  return std::max(keys / k_step, std::int64_t{1}) * k_step;
}

Problem copy_keys(const Problem& problem, std::span<const std::int64_t> heads, std::int64_t keys,
                  Copied copied) {
  Problem copy = problem;
  const std::int64_t one[] = {0};
  const auto copy_of = [&](const tensor::View3& view) {
    return tensor::copy_heads(view, view.heads == 1 ? std::span<const std::int64_t>(one) : heads,
                              keys);
  };
  if (copied != Copied::values) {
    copy.k = copy_of(*problem.k);
  }
  if (copied != Copied::keys) {
    copy.v = copy_of(*problem.v);
  }
  return copy;
}

std::int64_t heads_to_copy(const Problem& problem, std::int64_t keys, Copied copied) {
  const std::int64_t of_keys = bytes_per_token(*problem.k) / problem.k->heads;
  const std::int64_t of_values = bytes_per_token(*problem.v) / problem.v->heads;
  const std::int64_t bytes =
      (copied == Copied::values ? 0 : of_keys) + (copied == Copied::keys ? 0 : of_values);
  return std::max(k_copied_bytes / std::max(bytes * keys, std::int64_t{1}), std::int64_t{1});
}

void expect_keys(const Problem& problem, std::int64_t first, std::int64_t count) {
  if (problem.form == Form::expanded) {
    problem.k->expect(first, count);
    problem.v->expect(first, count);
  }
}

} // namespace mla_scale::reference
