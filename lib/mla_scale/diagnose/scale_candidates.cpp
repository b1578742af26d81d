#include <mla_scale/compare/level.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mla_scale::diagnose {

namespace {

/// Closer than any kernel's scale can be told from another.
constexpr double k_same_scale = 1e-6;

double inverse_root(std::int64_t width) {
  return 1.0 / std::sqrt(static_cast<double>(width));
}

std::int64_t next_power_of_two(std::int64_t width) {
  std::int64_t power = 1;
  while (power < width) {
    power *= 2;
  }
  return power;
}

} // namespace

double base_scale(const Expectation& expectation) {
  return expectation.base > 0.0 ? expectation.base
                                : inverse_root(expectation.geometry.qk_head_dim());
}

std::vector<ScaleCandidate> scale_candidates(const Expectation& expectation) {
  const auto& dims = expectation.geometry;
  const double g = expectation.mscale;
  const double base = base_scale(expectation);
  const double expected = expectation.softmax_scale;
  const auto latent = dims.kv_lora_rank + dims.qk_rope_head_dim;
  std::vector<ScaleCandidate> all;
  const auto add = [&](std::string id, std::string formula, double value) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const ScaleCandidate& candidate) {
      return candidate.id == id && std::abs(value / candidate.value - 1.0) < k_same_scale;
    });
    if (std::isfinite(value) && value > 0.0 && std::abs(value / expected - 1.0) > k_same_scale
        && !known) {
      all.push_back({std::move(id), std::move(formula), value});
    }
  };
  const auto width = [&](const char* id, std::int64_t dim, double power, const char* times) {
    if (dim > 0) {
      add(id, fmt::format("{}^-1/2{}", dim, times), inverse_root(dim) * std::pow(g, power));
    }
  };
  const bool has_mscale = std::abs(g - 1.0) > k_same_scale;
  const char* squared = has_mscale ? " · mscale²" : "";
  width("scale.latent_width", latent, 0, "");
  if (has_mscale) {
    width("scale.latent_width_mscale", latent, 2, squared);
    add("scale.mscale_omitted", fmt::format("{}^-1/2", dims.qk_head_dim()), base);
    add("scale.mscale_once", fmt::format("{}^-1/2 · mscale", dims.qk_head_dim()), base * g);
    add("scale.mscale_twice", fmt::format("{}^-1/2 · mscale⁴", dims.qk_head_dim()),
        base * g * g * g * g);
    add("scale.mscale_inverse", fmt::format("{}^-1/2 / mscale²", dims.qk_head_dim()),
        base / (g * g));
  }
  // Where the two keys are equal the config cannot show this bug, whatever scale is expected.
  if (expectation.mscale_other_key
      && std::abs(*expectation.mscale_other_key / g - 1.0) > k_same_scale) {
    const double other = *expectation.mscale_other_key;
    add("scale.mscale_wrong_key",
        fmt::format("{}^-1/2 · {:.6g}², from the other of mscale and mscale_all_dim",
                    dims.qk_head_dim(), other),
        base * other * other);
  }
  width("scale.nope_width", dims.qk_nope_head_dim, 2, squared);
  if (has_mscale) {
    width("scale.nope_width_plain", dims.qk_nope_head_dim, 0, "");
  }
  width("scale.v_width", dims.v_head_dim, 2, squared);
  width("scale.kv_lora_width", dims.kv_lora_rank, 0, "");
  width("scale.rope_width", dims.qk_rope_head_dim, 0, "");
  const auto padded = next_power_of_two(dims.qk_head_dim());
  width("scale.padded_width", padded, 0, "");
  add("scale.log2e_missing", "expected · ln 2", expected * std::numbers::ln2);
  add("scale.log2e_twice", "expected · log2 e", expected * std::numbers::log2e);
  add("scale.unit", "1", 1.0);
  add("scale.squared", "expected²", expected * expected);
  if (has_mscale) {
    width("scale.v_width", dims.v_head_dim, 0, "");
    width("scale.kv_lora_width", dims.kv_lora_rank, 2, squared);
    width("scale.rope_width", dims.qk_rope_head_dim, 2, squared);
    width("scale.padded_width", padded, 2, squared);
    add("scale.squared", fmt::format("{}^-1 · mscale²", dims.qk_head_dim()), base * base * g * g);
    add("scale.squared", fmt::format("{}^-1", dims.qk_head_dim()), base * base);
  }
  return all;
}

std::vector<ScaleCandidate> rounded_scale_candidates(const Expectation& expectation) {
  std::vector<ScaleCandidate> all = scale_candidates(expectation);
  all.insert(all.begin(), {"scale.other", "expected", expectation.softmax_scale});
  std::vector<ScaleCandidate> result;
  for (const auto& form : all) {
    for (const auto& [rounding, name] : {std::pair{compare::Rounding::bf16, "bf16"},
                                         std::pair{compare::Rounding::f16, "float16"}}) {
      const double value = compare::round_to(rounding, form.value);
      if (std::abs(value / expectation.softmax_scale - 1.0) > k_same_scale
          && std::abs(value / form.value - 1.0) > k_same_scale) {
        result.push_back({form.id, fmt::format("{}, rounded to {}", form.formula, name), value});
      }
    }
  }
  return result;
}

std::vector<ScaleCandidate> closed_forms_near(const Expectation& expectation, double scale,
                                              double window) {
  const auto& dims = expectation.geometry;
  const double g = expectation.mscale;
  struct Form {
    std::string text;
    double value;
    int complexity;
  };
  std::vector<Form> bases;
  for (const auto width :
       {dims.qk_head_dim(), dims.kv_lora_rank + dims.qk_rope_head_dim, dims.kv_lora_rank,
        dims.qk_nope_head_dim, dims.v_head_dim, dims.qk_rope_head_dim}) {
    const bool seen = std::any_of(bases.begin(), bases.end(), [&](const Form& form) {
      return form.value == inverse_root(width);
    });
    if (width > 0 && !seen) {
      bases.push_back({fmt::format("{}^-1/2", width), inverse_root(width), 0});
    }
  }
  bases.push_back({"1", 1.0, 1});
  std::vector<Form> found;
  for (const auto& base : bases) {
    for (int power = -4; power <= 4; ++power) {
      if (power != 0 && std::abs(g - 1.0) <= k_same_scale) {
        continue;
      }
      for (int log2e = -1; log2e <= 1; ++log2e) {
        for (int twos = -4; twos <= 4; ++twos) {
          const double value = base.value * std::pow(g, power)
                               * std::pow(std::numbers::log2e, log2e) * std::ldexp(1.0, twos);
          if (std::abs(value / scale - 1.0) <= window) {
            std::string text = base.text;
            text += power == 0 ? "" : fmt::format(" · mscale^{}", power);
            text += log2e == 0 ? "" : (log2e > 0 ? " · log2 e" : " · ln 2");
            text += twos == 0 ? "" : fmt::format(" · 2^{}", twos);
            found.push_back(
                {text, value,
                 base.complexity + std::abs(power) + 2 * std::abs(log2e) + 2 * std::abs(twos)});
          }
        }
      }
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Form& a, const Form& b) { return a.complexity < b.complexity; });
  std::vector<ScaleCandidate> result;
  for (const auto& form : found) {
    if (result.size() < 3) {
      result.push_back({"scale.other", form.text, form.value});
    }
  }
  return result;
}

} // namespace mla_scale::diagnose
