#pragma once

#include <mla_scale/diagnose/mechanism.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// Factors on the parts of a mechanism: logit = nope · u + rope · w, out = gain · Σ p v.
struct Factors {
  double nope = 1.0;
  double rope = 1.0;
  double gain = 1.0;
};

/// Another start than 1, for factors so large that every row sees one key alone.
inline constexpr double k_far_start = 4.0;

/// Which factors move, as columns of d(nope, rope, gain) / d(parameter).
struct FitDirections {
  std::vector<std::array<double, 3>> columns;
};

/// nope and rope together: the softmax scale.
[[nodiscard]] FitDirections along_scale();
[[nodiscard]] FitDirections along_nope();
[[nodiscard]] FitDirections along_rope();
[[nodiscard]] FitDirections along_nope_and_rope();
[[nodiscard]] FitDirections along_gain();
[[nodiscard]] FitDirections along_latent(); ///< nope and gain together
[[nodiscard]] FitDirections along_scale_and_gain();
[[nodiscard]] FitDirections along_everything();

/// A fit of factors by Gauss-Newton, rows weighted by the inverse of a healthy kernel's variance.
struct LinearFit {
  Factors factors;
  std::vector<double> standard_errors; ///< of the parameters, clustered by row
  double objective = 0.0;              ///< weighted mean square residual
  bool converged = false;
};

enum class FitSource { out, lse };

/// Those that the sample has, lse first.
[[nodiscard]] std::vector<FitSource> sources_of(const Sample& sample);

/// Fits from `start`; the mechanism's own factors are multiplied by what is fitted. Nothing when no
/// row tells anything. `iterations` bounds the steps.
[[nodiscard]] std::optional<LinearFit>
fit_factors(const Predictor& predictor, const Mechanism& mechanism,
            std::span<const std::size_t> rows, FitSource source, const FitDirections& directions,
            const Factors& start, int iterations = 25);

/// The best fit from several starts on the few rows of `probe`, refined on `rows`. Nothing when
/// even the best leaves so much that it is no explanation.
[[nodiscard]] std::optional<LinearFit>
fit_from_starts(const Predictor& predictor, const Mechanism& mechanism,
                std::span<const std::size_t> probe, std::span<const std::size_t> rows,
                FitSource source, const FitDirections& directions, std::span<const Factors> starts);

/// The mechanism with its factors multiplied.
[[nodiscard]] Mechanism with_factors(Mechanism mechanism, const Factors& factors);

/// Starting points for the scale: the best few of a logarithmic grid from 1/60 to 60 times the
/// mechanism's, by residual on `rows`; on so many threads.
[[nodiscard]] std::vector<double> scale_starts(const Predictor& predictor,
                                               const Mechanism& mechanism,
                                               std::span<const std::size_t> rows, FitSource source,
                                               unsigned threads);

} // namespace mla_scale::diagnose
