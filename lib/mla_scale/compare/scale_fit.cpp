#include <mla_scale/compare/gauss_newton.hpp>
#include <mla_scale/compare/scale_fit.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <utility>

namespace mla_scale::compare {
namespace {

using reference::Problem;

constexpr double k_relative_floor = 3e-7; // exp2 of float32 logits in fused kernels, measured

/// Samples of one head.
using HeadRows = std::span<const RowSample>;

std::vector<HeadRows> heads_of(const std::vector<RowSample>& samples) {
  std::vector<HeadRows> heads;
  for (auto first = samples.begin(); first != samples.end();) {
    const auto last = std::find_if(first, samples.end(), [first](const RowSample& sample) {
      return sample.head != first->head;
    });
    heads.emplace_back(first, last);
    first = last;
  }
  return heads;
}

/// The fit of one head alone.
struct HeadFit {
  std::int64_t head;
  Descent fitted;
};

ScaleFit to_fit(const Problem& problem, const Descent& fitted, std::int64_t width) {
  ScaleFit fit;
  fit.ratio = std::exp(fitted.log_ratio);
  fit.softmax_scale = problem.softmax_scale * fit.ratio;
  fit.standard_error = std::abs(fit.softmax_scale)
                       * std::hypot(relative_error(fitted.step, width), k_relative_floor);
  fit.converged = fitted.converged;
  fit.information = fitted.step.curvature;
  fit.rows = std::ssize(fitted.step.rows);
  fit.residual = std::sqrt(fitted.step.residual / fitted.step.count());
  return fit;
}

/// The fit of all heads with those of each, from residuals of `width` columns.
ScaleFit with_heads(const Problem& problem, const Descent& fitted,
                    const std::vector<HeadFit>& by_head, std::int64_t width, std::string from) {
  ScaleFit all = to_fit(problem, fitted, width);
  all.from = std::move(from);
  for (const HeadFit& head : by_head) {
    if (head.fitted.usable) {
      const ScaleFit fit = to_fit(problem, head.fitted, width);
      all.by_head.push_back({head.head, fit.softmax_scale, fit.standard_error, fit.converged});
    }
  }
  return all;
}

/// Softmax of the logits of a row.
struct Softmax {
  std::vector<double> logits;
  std::vector<double> p;
  double lse;
  double mean; ///< E_p[logit]
};

/// Of scale · (nope + rope).
Softmax softmax_of(const RowSample& sample, double scale) {
  std::vector<double> logits(sample.nope.size());
  std::transform(sample.nope.begin(), sample.nope.end(), sample.rope.begin(), logits.begin(),
                 [scale](double nope, double rope) { return scale * (nope + rope); });
  double maximum = -k_infinity;
  for (const double logit : logits) {
    maximum = std::max(maximum, logit);
  }
  std::vector<double> p;
  p.reserve(logits.size());
  double sum = 0.0;
  double weighted = 0.0;
  for (const double logit : logits) {
    p.push_back(std::exp(logit - maximum));
    sum += p.back();
    weighted += p.back() * logit;
  }
  for (double& x : p) {
    x /= sum;
  }
  return {std::move(logits), std::move(p), maximum + std::log(sum), weighted / sum};
}

/// Sums of the samples of one head, from out; `weights` are those of the rows.
FitStep out_step(const Problem& problem, const tensor::View3& out, HeadRows samples,
                 const std::vector<double>& weights, ValueAverager& averager, double log_ratio) {
  FitStep step;
  const double scale = problem.softmax_scale * std::exp(log_ratio);
  std::vector<double> captured(static_cast<std::size_t>(out.width));
  std::vector<double> both;
  auto weight = weights.begin();
  for (const RowSample& sample : samples) {
    const double row_weight = *weight++;
    if (row_weight == 0.0) {
      continue;
    }
    const Softmax softmax = softmax_of(sample, scale);
    both = softmax.p;
    std::transform(softmax.p.begin(), softmax.p.end(), softmax.logits.begin(),
                   std::back_inserter(both),
                   [&](double p, double logit) { return p * (logit - softmax.mean); });
    const std::vector<double> result = averager.average(sample, 2, both);
    out.read(sample.row, sample.head, 0, out.width, captured.data());
    auto slope = result.end() - out.width;
    auto value = result.begin();
    double gradient = 0.0;
    double curvature = 0.0;
    double residual = 0.0;
    for (const double x : captured) {
      const double difference = *value++ - x;
      gradient += *slope * difference;
      curvature += *slope * *slope;
      residual += difference * difference;
      ++slope;
    }
    if (std::isfinite(residual)) {
      step.add(row_weight * gradient, row_weight * curvature, row_weight * residual);
    }
  }
  return step;
}

/// Weights of the rows of one head: 1/|O_row|² at the problem's own scale, 0 for a row whose output
/// vanishes or is no number.
std::vector<double> row_weights(const Problem& problem, HeadRows samples, ValueAverager& averager) {
  std::vector<double> weights;
  for (const RowSample& sample : samples) {
    double squared = 0.0;
    const Softmax softmax = softmax_of(sample, problem.softmax_scale);
    for (const double x : averager.average(sample, 1, softmax.p)) {
      squared += x * x;
    }
    weights.push_back(squared > 0.0 ? 1.0 / squared : 0.0);
  }
  return weights;
}

/// Sums of the samples of one head, from lse; `unit` is that of what was captured.
FitStep lse_step(const Problem& problem, const tensor::View3& lse, double unit, HeadRows samples,
                 double log_ratio) {
  FitStep step;
  const double scale = problem.softmax_scale * std::exp(log_ratio);
  for (const RowSample& sample : samples) {
    const Softmax softmax = softmax_of(sample, scale);
    const double residual = softmax.lse - unit * lse.at(sample.row, sample.head, 0);
    if (std::isfinite(residual)) {
      const double slope = softmax.mean; // d lse / d ln(scale)
      step.add(slope * residual, slope * slope, residual * residual);
    }
  }
  return step;
}

/// The heads that converged, joined with the information of each as its weight: to first order the
/// fit of all their rows. Nothing when none did.
std::optional<Descent> joined(const std::vector<HeadFit>& by_head) {
  std::vector<const Descent*> heads;
  for (const HeadFit& head : by_head) {
    if (head.fitted.converged) {
      heads.push_back(&head.fitted);
    }
  }
  if (heads.empty()) {
    return std::nullopt;
  }
  Descent all;
  all.converged = true;
  double weighted = 0.0;
  for (const Descent* head : heads) {
    all.step += head->step;
    weighted += head->step.curvature * head->log_ratio;
  }
  all.log_ratio = weighted / all.step.curvature;
  // Heads that disagree about the scale make it less certain than rows within a head do.
  if (heads.size() > 1) {
    double between = 0.0;
    for (const Descent* head : heads) {
      const double pull = head->step.curvature * (head->log_ratio - all.log_ratio);
      between += pull * pull;
    }
    const auto count = static_cast<double>(heads.size());
    all.step.between_heads = between * (count / (count - 1.0));
  }
  return all;
}

} // namespace

std::optional<ScaleFit> fit_scale_from_lse(const Problem& problem, const tensor::Capture& capture,
                                           const std::vector<RowSample>& samples) {
  if (!capture.lse) {
    return std::nullopt;
  }
  const double unit = capture.lse_base == tensor::LseBase::two ? std::log(2.0) : 1.0;
  const std::vector<HeadRows> heads = heads_of(samples);
  const auto head_step = [&](std::size_t head, double log_ratio) {
    return lse_step(problem, *capture.lse, unit, heads[head], log_ratio);
  };
  std::vector<FitStep> steps(heads.size());
  const Descent fitted = minimise([&](double log_ratio) {
    parallel_for(heads.size(), static_cast<unsigned>(problem.threads),
                 [&](std::size_t head) { steps[head] = head_step(head, log_ratio); });
    FitStep sum;
    for (const FitStep& step : steps) {
      sum += step;
    }
    return sum;
  });
  if (!fitted.usable) {
    return std::nullopt;
  }
  std::vector<HeadFit> by_head(heads.size());
  parallel_for(heads.size(), static_cast<unsigned>(problem.threads), [&](std::size_t head) {
    by_head[head] = {
        heads[head].front().head,
        descend([&](double log_ratio) { return head_step(head, log_ratio); }, fitted.log_ratio)};
  });
  return with_heads(problem, fitted, by_head, 1, "lse");
}

std::optional<ScaleFit> fit_scale_from_out(const Problem& problem, const tensor::Capture& capture,
                                           const std::vector<RowSample>& samples) {
  if (!capture.out) {
    return std::nullopt;
  }
  const std::vector<HeadRows> heads = heads_of(samples);
  std::vector<HeadFit> by_head(heads.size());
  const Problem kept = keep_values(problem, samples);
  // Head by head, so that the values of a head are converted once.
  parallel_for(heads.size(), ValueAverager::threads(kept), [&](std::size_t head) {
    ValueAverager averager(kept);
    const std::vector<double> weights = row_weights(problem, heads[head], averager);
    by_head[head] = {heads[head].front().head, minimise([&](double log_ratio) {
                       return out_step(problem, *capture.out, heads[head], weights, averager,
                                       log_ratio);
                     })};
  });
  const std::optional<Descent> fitted = joined(by_head);
  if (!fitted) {
    return std::nullopt;
  }
  return with_heads(problem, *fitted, by_head, capture.out->width, "out");
}

} // namespace mla_scale::compare
