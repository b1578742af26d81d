#include <mla_scale/compare/hidden_scale.hpp>

#include <cmath>

namespace mla_scale::compare {
namespace {

constexpr std::int64_t k_telling_rows = 8; // with fewer, one scale fits whatever noise there is
constexpr double k_telling_error = 0.1; // of the scale: a fit that allows everything says nothing

/// True when a fit allows `softmax_scale`.
bool fits(const ScaleFit& fit, double softmax_scale) {
  return fit.converged
         && std::abs(fit.softmax_scale - softmax_scale)
                <= k_many_errors * fit.standard_error + k_float32_scale * std::abs(softmax_scale);
}

/// True when a wrong scale may look like what this level does: noise of logits, or a lean.
bool may_hide_a_scale(Level level) {
  return changes_lse(level) || level == Level::flash_cut;
}

} // namespace

std::optional<double> hidden_scale(const Judgement& match, double softmax_scale) {
  const std::optional<ScaleFit>& fit = match.fit;
  if (match.verdict != Verdict::match || !may_hide_a_scale(match.level) || !fit || !fit->converged
      || fit->rows < k_telling_rows || fits(*fit, softmax_scale)) {
    return std::nullopt;
  }
  return fit->softmax_scale;
}

bool shows_hidden_scale(const Judgement& fitted, Level taken) {
  if (fitted.verdict != Verdict::match) {
    return false;
  }
  return taken == Level::flash_cut
             ? fitted.level != Level::flash_cut && !has_coarse_logits(fitted.level)
             : !changes_lse(fitted.level);
}

std::optional<double> rounded_scale(const Judgement& mismatch, double softmax_scale) {
  const std::optional<ScaleFit>& fit = mismatch.fit;
  const double rounded = round_to(mismatch.dtypes.compute(), softmax_scale);
  if (mismatch.verdict != Verdict::mismatch || !has_coarse_logits(mismatch.level)
      || rounded == softmax_scale || !fit || !fits(*fit, rounded)
      || fit->standard_error > k_telling_error * softmax_scale) {
    return std::nullopt;
  }
  return rounded;
}

} // namespace mla_scale::compare
