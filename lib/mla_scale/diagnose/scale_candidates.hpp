#pragma once

#include <mla_scale/diagnose/expectation.hpp>

#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// A softmax scale that a bug produces, in closed form.
struct ScaleCandidate {
  std::string id;      ///< "scale.latent_width"
  std::string formula; ///< with the numbers of this model: "576^-1/2"
  double value = 0.0;
};

/// Every wrong scale that the config's numbers can produce, the likelier first. Those that equal
/// the expected scale are left out.
[[nodiscard]] std::vector<ScaleCandidate> scale_candidates(const Expectation& expectation);

/// The candidates, and the expected scale (as scale.other), after a kernel took them as a bf16 or
/// float16 number: up to 0.4 % off.
[[nodiscard]] std::vector<ScaleCandidate> rounded_scale_candidates(const Expectation& expectation);

/// Closed forms within `window` (relative) of a scale that is no candidate: d^-1/2 of the config's
/// widths times powers of mscale, ln 2 and powers of two; the simplest first, at most three.
[[nodiscard]] std::vector<ScaleCandidate> closed_forms_near(const Expectation& expectation,
                                                            double scale, double window);

/// qk_head_dim^-1/2 of the expectation.
[[nodiscard]] double base_scale(const Expectation& expectation);

} // namespace mla_scale::diagnose
