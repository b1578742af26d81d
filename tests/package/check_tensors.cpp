#include <mla_scale/check/check.hpp>
#include <mla_scale/model/load.hpp>
#include <mla_scale/scale/softmax_scale.hpp>
#include <mla_scale/tensor/memory.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <vector>

// Checks an attention that never touched a disk: q, k, v and out are vectors in memory.
//
//   check_tensors MODEL [SCALE]     one head, computed here with SCALE, or the model's own

namespace {

using mla_scale::tensor::Dtype;
using mla_scale::tensor::tensor_in_memory;

constexpr std::int64_t k_rows = 64;

std::vector<float> random_values(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    value = static_cast<float>(generator()) / 2147483648.0F - 1.0F;
  }
  return values;
}

/// What stands in for your kernel: causal attention of one head.
std::vector<float> attention(const std::vector<float>& q, const std::vector<float>& k,
                             const std::vector<float>& v, std::int64_t qk, std::int64_t width,
                             double scale) {
  std::vector<float> out(static_cast<std::size_t>(k_rows * width));
  for (std::int64_t row = 0; row < k_rows; ++row) {
    double sum = 0.0;
    std::vector<double> mean(static_cast<std::size_t>(width));
    for (std::int64_t key = 0; key <= row; ++key) {
      double logit = 0.0;
      for (std::int64_t d = 0; d < qk; ++d) {
        logit += static_cast<double>(q[static_cast<std::size_t>(row * qk + d)])
                 * static_cast<double>(k[static_cast<std::size_t>(key * qk + d)]);
      }
      const double weight = std::exp(logit * scale);
      sum += weight;
      for (std::int64_t d = 0; d < width; ++d) {
        mean[static_cast<std::size_t>(d)] +=
            weight * static_cast<double>(v[static_cast<std::size_t>(key * width + d)]);
      }
    }
    for (std::int64_t d = 0; d < width; ++d) {
      out[static_cast<std::size_t>(row * width + d)] =
          static_cast<float>(mean[static_cast<std::size_t>(d)] / sum);
    }
  }
  return out;
}

int fail(const mla_scale::Error& error) {
  std::fprintf(stderr, "%s\n", to_string(error).c_str());
  return 1;
}

} // namespace

int main(int argc, char** argv) {
  // 1. The model: its widths, and the scale that it wants.
  const auto models = mla_scale::model::load_models(argc > 1 ? argv[1] : ".");
  if (!models) {
    return fail(models.error());
  }
  const auto* config = models->front().config();
  if (config == nullptr) {
    std::fprintf(stderr, "%s: no MLA\n", models->front().source.c_str());
    return 1;
  }
  const auto scale = mla_scale::scale::derive_softmax_scale(*config);
  if (!scale) {
    return fail(scale.error());
  }

  // 2. Inputs and output, as they lie in memory: [tokens, heads, width].
  const std::int64_t qk = *config->dims.qk_nope_head_dim + *config->dims.qk_rope_head_dim;
  const std::int64_t width = *config->dims.v_head_dim;
  const auto q = random_values(k_rows * qk, 1);
  const auto k = random_values(k_rows * qk, 2);
  const auto v = random_values(k_rows * width, 3);
  const auto out = attention(q, k, v, qk, width, argc > 2 ? std::atof(argv[2]) : scale->prefill);

  // 3. Each becomes a tensor with the name that a capture file would give it. Nothing is copied.
  const auto described = [](const char* name, const std::vector<float>& values,
                            std::int64_t columns) {
    return tensor_in_memory(name, Dtype::f32, {k_rows, 1, columns},
                            std::as_bytes(std::span(values)));
  };
  std::vector<std::shared_ptr<const mla_scale::tensor::Tensor>> tensors;
  for (auto& tensor : {described("q", q, qk), described("k", k, qk), described("v", v, width),
                       described("out", out, width)}) {
    if (!tensor) {
      return fail(tensor.error());
    }
    tensors.push_back(*tensor);
  }

  // 4. The verdict, and what the bug is called.
  const auto checked = mla_scale::check::check_tensors(*config, *scale, tensors, {});
  if (!checked) {
    return fail(checked.error());
  }
  std::printf("%s", std::string(to_string(checked->judgement.verdict)).c_str());
  if (!checked->diagnosis.findings.empty()) {
    std::printf(" %s", std::string(checked->diagnosis.findings.front().id).c_str());
  }
  std::printf("\n");
  return 0;
}
