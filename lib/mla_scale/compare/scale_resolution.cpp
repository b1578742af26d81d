#include <mla_scale/compare/clustered_error.hpp>
#include <mla_scale/compare/scale_resolution.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <cmath>

namespace mla_scale::compare {
namespace {

constexpr double k_explained_lse = 4.0; // residual of a fit over the floor: rounding leaves that
constexpr double k_told_apart = 8.0;    // standard errors between a rival and the right scale
constexpr double k_same_scale = 1e-6;   // rivals nearer than this are the right scale

} // namespace

std::optional<ScaleFit> better_fit(const Evidence& evidence, const LevelResult& level) {
  const bool lse_explains = evidence.lse_fit && evidence.lse_fit->converged
                            && evidence.lse_fit->residual <= k_explained_lse * level.lse_floor;
  if (lse_explains || !evidence.out_fit) {
    return evidence.lse_fit;
  }
  return evidence.out_fit;
}

void take_noise(double noise, double bias, ScaleFit& fit) {
  const double scale = std::abs(fit.softmax_scale);
  if (fit.rows < k_few_rows) {
    fit.standard_error = std::max(fit.standard_error, scale * noise / std::sqrt(fit.information));
  }
  fit.standard_error = std::hypot(fit.standard_error, bias * scale);
}

double scale_resolution(const Evidence& evidence, const LevelResult& level) {
  double best = k_infinity;
  if (evidence.out_fit) {
    const ScaleFit& fit = *evidence.out_fit;
    const double noise =
        level.out_floor / std::sqrt(static_cast<double>(evidence.problem.v_width()));
    best = std::min(best, std::max({fit.standard_error / std::abs(fit.softmax_scale),
                                    noise / std::sqrt(fit.information), level.bias.scale}));
  }
  if (evidence.lse_fit) {
    const ScaleFit& fit = *evidence.lse_fit;
    best = std::min(best, std::max(fit.standard_error / std::abs(fit.softmax_scale),
                                   level.lse_floor / std::sqrt(fit.information)));
  }
  return best;
}

std::vector<RivalOutcome> meet_rivals(const std::vector<Rival>& rivals, double softmax_scale,
                                      double resolution) {
  std::vector<RivalOutcome> outcomes;
  for (const Rival& rival : rivals) {
    // One of the other sign, or that is no number, is as far as can be.
    const double ratio = rival.softmax_scale / softmax_scale;
    const double distance = ratio > 0.0 ? std::abs(std::log(ratio)) : k_infinity;
    if (distance < k_same_scale) {
      continue;
    }
    const double separation = distance / resolution;
    outcomes.push_back({rival, separation > k_told_apart, separation});
  }
  return outcomes;
}

} // namespace mla_scale::compare
