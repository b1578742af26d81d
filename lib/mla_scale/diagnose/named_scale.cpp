#include <mla_scale/diagnose/named_scale.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::diagnose {

std::vector<Parameter> scale_parameters(const NamedScale& scale) {
  std::vector<Parameter> parameters = {{"softmax_scale", scale.softmax_scale},
                                       {"expected", scale.expected},
                                       {"ratio", scale.softmax_scale / scale.expected}};
  if (!scale.formula.empty()) {
    parameters.push_back({"formula", scale.formula});
  }
  if (scale.fitted) {
    parameters.push_back({"fitted", scale.fitted->value});
    parameters.push_back({"standard_error", scale.fitted->standard_error});
  }
  return parameters;
}

std::string engines_that_compute(const Expectation& expectation, double scale) {
  constexpr std::size_t k_most_characters = 120;
  std::string engines;
  bool several = false;
  for (const auto& engine : expectation.engines) {
    const auto& value = expectation.decode ? engine.decode : engine.prefill;
    if (value && std::abs(*value / scale - 1.0) < 1e-4 && engines.size() < k_most_characters) {
      several = !engines.empty();
      engines += (several ? ", " : "") + engine.engine;
    }
  }
  return engines.empty()
             ? ""
             : fmt::format("; this is what {} {} in {}", engines, several ? "compute" : "computes",
                           expectation.decode ? "decode" : "prefill");
}

} // namespace mla_scale::diagnose
