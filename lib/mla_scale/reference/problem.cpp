#include <mla_scale/reference/kernel_choice.hpp>
#include <mla_scale/reference/problem.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace mla_scale::reference {
namespace {

Error shape_error(std::string_view tensor, const std::string& message) {
  return {ErrorKind::schema, fmt::format("{} {}", tensor, message), "", std::string(tensor), {}};
}

Error usage_error(std::string message) {
  return {ErrorKind::usage, std::move(message), "", "", {}};
}

std::string shape_of(const tensor::View3& view) {
  return fmt::format("[{}, {}, {}]", view.tokens, view.heads, view.width);
}

/// A tensor that must be there with exactly this shape; -1 leaves a size open.
struct Need {
  std::string_view name;
  const std::optional<tensor::View3>* view;
  std::int64_t tokens;
  std::int64_t heads;
  bool one_head_will_do;
  std::int64_t width;
};

Result<void> require(const Need& need) {
  if (!*need.view) {
    return shape_error(need.name, "is missing");
  }
  const tensor::View3& view = **need.view;
  const bool heads_fit = view.heads == need.heads || (need.one_head_will_do && view.heads == 1);
  if ((need.tokens >= 0 && view.tokens != need.tokens) || !heads_fit
      || (need.width >= 0 && view.width != need.width)) {
    return shape_error(need.name,
                       fmt::format("has shape {}, expected [{}, {}, {}]", shape_of(view),
                                   need.tokens < 0 ? view.tokens : need.tokens, need.heads,
                                   need.width < 0 ? view.width : need.width));
  }
  return {};
}

Result<void> validate_tensors(const Problem& problem) {
  const std::int64_t heads = problem.q.heads;
  if (problem.qk_rope_head_dim < 0 || problem.qk_rope_head_dim > problem.q.width
      || problem.q.width <= 0 || heads <= 0) {
    return shape_error("q", fmt::format("has shape {}, which leaves no room for {} rope columns",
                                        shape_of(problem.q), problem.qk_rope_head_dim));
  }
  std::vector<Need> needs;
  if (problem.form == Form::expanded) {
    const std::int64_t keys = problem.k ? problem.k->tokens : -1;
    needs = {{"k", &problem.k, -1, heads, true, problem.q.width},
             {"v", &problem.v, keys, heads, true, -1}};
  } else {
    const std::int64_t keys = problem.kv_c ? problem.kv_c->tokens : -1;
    const std::int64_t rank = problem.kv_c ? problem.kv_c->width : -1;
    needs = {{"kv_c", &problem.kv_c, -1, 1, true, -1},
             {"w_uk", &problem.w_uk, problem.nope_width(), heads, false, rank},
             {"w_uv", &problem.w_uv, -1, heads, false, rank}};
    if (problem.qk_rope_head_dim > 0) {
      needs.push_back({"k_pe", &problem.k_pe, keys, 1, true, problem.qk_rope_head_dim});
    }
  }
  for (const Need& need : needs) {
    if (const auto fits = require(need); !fits) {
      return fits;
    }
  }
  if (problem.v_width() <= 0) {
    return shape_error(problem.form == Form::expanded ? "v" : "w_uv", "is empty");
  }
  return {};
}

Result<void> validate_sequences(const Problem& problem) {
  const std::int64_t keys =
      problem.form == Form::expanded ? problem.k->tokens : problem.kv_c->tokens;
  std::int64_t query_row = 0;
  for (const tensor::Sequence& sequence : problem.sequences) {
    if (sequence.query_begin < query_row || sequence.query_end < sequence.query_begin
        || sequence.query_end > problem.q.tokens || sequence.key_begin < 0
        || sequence.key_end < sequence.key_begin || sequence.key_end > keys) {
      return Error{ErrorKind::schema,
                   fmt::format("sequence of query rows [{}, {}) and key rows [{}, {}) does not fit "
                               "{} query and {} key rows",
                               sequence.query_begin, sequence.query_end, sequence.key_begin,
                               sequence.key_end, problem.q.tokens, keys),
                   "",
                   "cu_seqlens",
                   {}};
    }
    query_row = sequence.query_end;
  }
  return {};
}

Result<void> validate_choice(const std::vector<std::int64_t>& chosen, std::int64_t count,
                             std::string_view what) {
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] < 0 || chosen[i] >= count) {
      return usage_error(fmt::format("{} {} does not exist: there are {}", what, chosen[i], count));
    }
    if (i > 0 && chosen[i] <= chosen[i - 1]) {
      return usage_error(fmt::format("{}s must be ascending", what));
    }
  }
  return {};
}

std::vector<std::int64_t> chosen_or_all(const std::vector<std::int64_t>& chosen,
                                        std::int64_t count) {
  if (!chosen.empty()) {
    return chosen;
  }
  std::vector<std::int64_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

} // namespace

std::string_view to_string(Form form) {
  switch (form) {
  case Form::expanded:
    return "expanded";
  case Form::latent:
    return "latent";
  case Form::absorbed:
    return "absorbed";
  }
  return "";
}

std::int64_t Problem::nope_width() const {
  return q.width - qk_rope_head_dim;
}

std::int64_t Problem::v_width() const {
  if (form == Form::expanded) {
    return v ? v->width : 0;
  }
  return w_uv ? w_uv->tokens : 0;
}

std::vector<std::int64_t> Problem::chosen_heads() const {
  return chosen_or_all(heads, q.heads);
}

std::vector<std::int64_t> Problem::chosen_rows() const {
  return chosen_or_all(rows, q.tokens);
}

std::optional<tensor::Sequence> Problem::sequence_of(std::int64_t row) const {
  const auto after = std::upper_bound(
      sequences.begin(), sequences.end(), row,
      [](std::int64_t r, const tensor::Sequence& sequence) { return r < sequence.query_end; });
  if (after == sequences.end() || row < after->query_begin) {
    return std::nullopt;
  }
  return *after;
}

std::int64_t Problem::visible_keys(const tensor::Sequence& sequence, std::int64_t row) const {
  const std::int64_t keys = sequence.key_end - sequence.key_begin;
  if (!causal) {
    return keys;
  }
  const std::int64_t prefix = keys - (sequence.query_end - sequence.query_begin);
  return std::clamp(row - sequence.query_begin + prefix + 1, std::int64_t{0}, keys);
}

const Kernel& Problem::kernel_in_use() const {
  return kernel != nullptr ? *kernel : *chosen_kernel().value();
}

double Problem::row_scale(std::int64_t row) const {
  return query_factors.empty() ? softmax_scale
                               : softmax_scale * query_factors[static_cast<std::size_t>(row)];
}

Result<Problem> make_problem(const tensor::Capture& capture, Form form, double softmax_scale,
                             std::int64_t qk_rope_head_dim) {
  if (!capture.q) {
    return shape_error("q", "is missing");
  }
  Problem problem;
  problem.q = *capture.q;
  problem.form = form;
  problem.softmax_scale = softmax_scale;
  problem.qk_rope_head_dim = qk_rope_head_dim;
  problem.sequences = capture.sequences;
  if (form == Form::expanded) {
    problem.k = capture.k;
    problem.v = capture.v;
  } else {
    problem.kv_c = capture.kv_c;
    problem.k_pe = capture.k_pe;
    problem.w_uk = capture.w_uk;
    problem.w_uv = capture.w_uv;
  }
  if (const auto valid = validate(problem); !valid) {
    return valid.error();
  }
  return problem;
}

Result<void> validate(const Problem& problem) {
  if (!std::isfinite(problem.softmax_scale)) {
    return usage_error("the softmax scale is not a finite number");
  }
  if (const auto valid = validate_tensors(problem); !valid) {
    return valid;
  }
  if (const auto valid = validate_sequences(problem); !valid) {
    return valid;
  }
  if (const auto valid = validate_choice(problem.heads, problem.q.heads, "head"); !valid) {
    return valid;
  }
  if (const auto valid = validate_choice(problem.rows, problem.q.tokens, "row"); !valid) {
    return valid;
  }
  if (!problem.query_factors.empty()
      && static_cast<std::int64_t>(problem.query_factors.size()) != problem.q.tokens) {
    return usage_error("there must be one query factor for each query row");
  }
  if (!problem.sinks.empty()
      && static_cast<std::int64_t>(problem.sinks.size()) != problem.q.heads) {
    return usage_error("there must be one sink for each head");
  }
  if (problem.key_chunk < 0 || problem.key_block < 0 || problem.threads < 0) {
    return usage_error("chunk size, block size and number of threads cannot be negative");
  }
  if (problem.kernel == nullptr) {
    if (const auto kernel = chosen_kernel(); !kernel) {
      return kernel.error();
    }
  }
  return {};
}

std::vector<double> llama_4_factors(const std::vector<std::int64_t>& positions, double beta,
                                    double original_length) {
  std::vector<double> factors;
  factors.reserve(positions.size());
  for (const std::int64_t position : positions) {
    const double periods = std::floor(static_cast<double>(position) / original_length);
    factors.push_back(1.0 + beta * std::log(1.0 + periods));
  }
  return factors;
}

std::vector<std::int64_t> query_positions(const tensor::Capture& capture) {
  if (!capture.positions_q.empty()) {
    return capture.positions_q;
  }
  std::vector<std::int64_t> positions(static_cast<std::size_t>(capture.query_rows), 0);
  for (const tensor::Sequence& sequence : capture.sequences) {
    const std::int64_t prefix =
        (sequence.key_end - sequence.key_begin) - (sequence.query_end - sequence.query_begin);
    for (std::int64_t row = sequence.query_begin; row < sequence.query_end; ++row) {
      positions[static_cast<std::size_t>(row)] =
          std::max(std::int64_t{0}, row - sequence.query_begin + prefix);
    }
  }
  return positions;
}

} // namespace mla_scale::reference
