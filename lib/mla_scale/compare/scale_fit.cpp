#include <mla_scale/compare/clustered_error.hpp>
#include <mla_scale/compare/scale_fit.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace mla_scale::compare {
namespace {

using reference::Problem;

constexpr int k_most_steps = 20;
constexpr int k_most_halvings = 5;
constexpr double k_converged = 1e-10;     // of ln(scale)
constexpr double k_longest_step = 0.7;    // of ln(scale): a factor of 2
constexpr double k_relative_floor = 3e-7; // exp2 of float32 logits in fused kernels, measured
constexpr std::array<double, 4> k_starts = {1.0, 0.5, 0.25, 2.0};
constexpr std::size_t k_most_bytes = std::size_t{256} << 20; // of values, by all threads
constexpr double k_near_residual = 0.1; // rms of a row: near enough to descend from

/// J·r and J² of one row.
struct RowStep {
  double gradient = 0.0;
  double curvature = 0.0;
};

/// Sums of one Gauss-Newton step on t = ln(scale).
struct Step {
  double gradient = 0.0;      // Σ J·r
  double curvature = 0.0;     // Σ J²
  double residual = 0.0;      // Σ r²
  std::vector<RowStep> rows;  // for the clustered error
  double between_heads = 0.0; // variance of the gradient by how heads differ, when they were fitted

  void add(double row_gradient, double row_curvature, double row_residual) {
    gradient += row_gradient;
    curvature += row_curvature;
    residual += row_residual;
    rows.push_back({row_gradient, row_curvature});
  }
  Step& operator+=(const Step& other) {
    gradient += other.gradient;
    curvature += other.curvature;
    residual += other.residual;
    rows.insert(rows.end(), other.rows.begin(), other.rows.end());
    return *this;
  }
  [[nodiscard]] double count() const { return static_cast<double>(rows.size()); }
};

struct Fitted {
  double log_ratio = 0.0;
  Step step;
  bool converged = false;
  bool usable = false;
};

/// Minimises Σ r(t)² from one start; `evaluate` gives the sums at a log ratio.
template <typename Evaluate>
Fitted descend(const Evaluate& evaluate, double start) {
  Fitted fitted;
  fitted.log_ratio = start;
  fitted.step = evaluate(start);
  for (int i = 0; i < k_most_steps; ++i) {
    if (!(fitted.step.curvature > 0.0) || !std::isfinite(fitted.step.gradient)) {
      return fitted;
    }
    fitted.usable = true;
    const double wanted = -fitted.step.gradient / fitted.step.curvature;
    double change = std::clamp(wanted, -k_longest_step, k_longest_step);
    if (std::abs(change) < k_converged) {
      fitted.converged = true;
      return fitted;
    }
    Step next = evaluate(fitted.log_ratio + change);
    for (int half = 0; half < k_most_halvings && !(next.residual <= fitted.step.residual); ++half) {
      change /= 2;
      next = evaluate(fitted.log_ratio + change);
    }
    if (!(next.residual <= fitted.step.residual)) {
      // Rounding: no shorter step helps, so this is the minimum.
      fitted.converged = std::abs(wanted) < 1e-6;
      return fitted;
    }
    fitted.log_ratio += change;
    fitted.step = next;
  }
  return fitted;
}

template <typename Evaluate>
Fitted minimise(const Evaluate& evaluate) {
  double start = 0.0;
  double least = k_infinity;
  for (const double ratio : k_starts) {
    if (const Step step = evaluate(std::log(ratio)); !step.rows.empty() && step.residual < least) {
      least = step.residual;
      start = std::log(ratio);
      if (least < k_near_residual * k_near_residual * step.count()) {
        break;
      }
    }
  }
  return descend(evaluate, start);
}

/// Relative standard error of ln(scale) from rows of `width` residuals each, clustered by row.
double relative_error(const Step& step, std::int64_t width) {
  double variance = 0.0; // of the gradient
  double squared = 0.0;
  for (const RowStep& row : step.rows) {
    // A row that the fit follows leaves less residual than it has error.
    const double share = std::min(row.curvature / step.curvature, k_most_share);
    variance += std::pow(row.gradient / (1.0 - share), 2);
    squared += row.curvature * row.curvature;
  }
  const double effective = step.curvature * step.curvature / squared; // rows of equal weight
  const double clustered = std::sqrt(std::max(variance, step.between_heads)) / step.curvature
                           * few_rows_factor(effective - 1.0);
  const double residuals = std::max(1.0, step.count() * static_cast<double>(width) - 1.0);
  const double naive = std::sqrt(step.residual / residuals / step.curvature);
  return std::max(clustered, width > 1 && effective < k_few_rows ? k_clustering * naive : naive);
}

ScaleFit to_fit(const Problem& problem, const Fitted& fitted, std::int64_t width,
                std::string from) {
  ScaleFit fit;
  fit.ratio = std::exp(fitted.log_ratio);
  fit.softmax_scale = problem.softmax_scale * fit.ratio;
  fit.standard_error = std::abs(fit.softmax_scale)
                       * std::hypot(relative_error(fitted.step, width), k_relative_floor);
  fit.from = std::move(from);
  fit.converged = fitted.converged;
  fit.information = fitted.step.curvature;
  fit.rows = std::ssize(fitted.step.rows);
  fit.residual = std::sqrt(fitted.step.residual / std::max(1.0, fitted.step.count()));
  return fit;
}

HeadScale to_head_scale(const Problem& problem, std::int64_t head, const Fitted& fitted,
                        std::int64_t width) {
  const ScaleFit fit = to_fit(problem, fitted, width, {});
  return {head, fit.softmax_scale, fit.standard_error, fit.converged};
}

/// Softmax of scale · (nope + rope) into `p`; returns the lse and puts E_p[scale · x] into `mean`.
double softmax(const RowSample& sample, double scale, std::vector<double>& p, double& mean) {
  const std::size_t n = sample.nope.size();
  p.resize(n);
  double maximum = -k_infinity;
  for (std::size_t j = 0; j < n; ++j) {
    p[j] = scale * (sample.nope[j] + sample.rope[j]);
    maximum = std::max(maximum, p[j]);
  }
  double sum = 0.0;
  double weighted = 0.0;
  for (double& x : p) {
    const double logit = x;
    x = std::exp(logit - maximum);
    sum += x;
    weighted += x * logit;
  }
  for (double& x : p) {
    x /= sum;
  }
  mean = weighted / sum;
  return maximum + std::log(sum);
}

/// Ranges of samples of one head.
std::vector<std::pair<std::size_t, std::size_t>> heads_of(const std::vector<RowSample>& samples) {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (std::size_t first = 0; first < samples.size();) {
    std::size_t last = first;
    while (last < samples.size() && samples[last].head == samples[first].head) {
      ++last;
    }
    ranges.emplace_back(first, last);
    first = last;
  }
  return ranges;
}

/// Sums of the samples [first, last) of one head, from out.
Step out_step(const Problem& problem, const tensor::View3& out,
              const std::vector<RowSample>& samples, const std::vector<double>& weights,
              std::pair<std::size_t, std::size_t> range, ValueAverager& averager,
              double log_ratio) {
  Step step;
  std::vector<double> captured(static_cast<std::size_t>(out.width));
  std::vector<double> both;
  std::vector<double> p;
  for (std::size_t i = range.first; i < range.second; ++i) {
    const RowSample& sample = samples[i];
    if (weights[i] == 0.0) {
      continue;
    }
    const double scale = problem.softmax_scale * std::exp(log_ratio);
    double mean = 0.0;
    softmax(sample, scale, p, mean);
    const std::size_t n = p.size();
    both.resize(2 * n);
    for (std::size_t j = 0; j < n; ++j) {
      both[j] = p[j];
      both[n + j] = p[j] * (scale * (sample.nope[j] + sample.rope[j]) - mean);
    }
    const std::vector<double> result = averager.average(sample, 2, both);
    out.read(sample.row, sample.head, 0, out.width, captured.data());
    double gradient = 0.0;
    double curvature = 0.0;
    double residual = 0.0;
    for (std::size_t c = 0; c < captured.size(); ++c) {
      const double difference = result[c] - captured[c];
      const double slope = result[captured.size() + c];
      gradient += slope * difference;
      curvature += slope * slope;
      residual += difference * difference;
    }
    if (!std::isfinite(residual)) {
      continue;
    }
    step.add(weights[i] * gradient, weights[i] * curvature, weights[i] * residual);
  }
  return step;
}

/// Sets the weights of one range of rows: 1/|O_row|² at the problem's own scale, 0 for a row whose
/// output vanishes. Other ranges belong to other threads.
void set_row_weights(const Problem& problem, const std::vector<RowSample>& samples,
                     std::pair<std::size_t, std::size_t> range, ValueAverager& averager,
                     std::vector<double>& weights) {
  std::vector<double> p;
  for (std::size_t i = range.first; i < range.second; ++i) {
    double mean = 0.0;
    softmax(samples[i], problem.softmax_scale, p, mean);
    double squared = 0.0;
    for (const double x : averager.average(samples[i], 1, p)) {
      squared += x * x;
    }
    weights[i] = squared > 0.0 && std::isfinite(squared) ? 1.0 / squared : 0.0;
  }
}

} // namespace

std::optional<ScaleFit> fit_scale_from_lse(const Problem& problem, const tensor::Capture& capture,
                                           const std::vector<RowSample>& samples) {
  if (!capture.lse || problem.softmax_scale == 0.0) {
    return std::nullopt;
  }
  const double unit = capture.lse_base == tensor::LseBase::two ? std::log(2.0) : 1.0;
  const auto ranges = heads_of(samples);
  const auto add_row = [&](std::size_t i, double scale, std::vector<double>& p, Step& sum) {
    const double captured = unit * capture.lse->at(samples[i].row, samples[i].head, 0);
    double slope = 0.0; // d lse / d ln(scale)
    const double residual = softmax(samples[i], scale, p, slope) - captured;
    if (std::isfinite(residual)) {
      sum.add(slope * residual, slope * slope, residual * residual);
    }
  };
  const auto head_step = [&](std::size_t range, double log_ratio) {
    const double scale = problem.softmax_scale * std::exp(log_ratio);
    std::vector<double> p;
    Step sum;
    for (std::size_t i = ranges[range].first; i < ranges[range].second; ++i) {
      add_row(i, scale, p, sum);
    }
    return sum;
  };
  std::vector<Step> steps(ranges.size());
  const Fitted fitted = minimise([&](double log_ratio) {
    parallel_for(ranges.size(), static_cast<unsigned>(problem.threads),
                 [&](std::size_t range) { steps[range] = head_step(range, log_ratio); });
    Step sum;
    for (const Step& step : steps) {
      sum += step;
    }
    return sum;
  });
  if (!fitted.usable) {
    return std::nullopt;
  }
  std::vector<Fitted> by_head(ranges.size());
  parallel_for(ranges.size(), static_cast<unsigned>(problem.threads), [&](std::size_t range) {
    by_head[range] =
        descend([&](double log_ratio) { return head_step(range, log_ratio); }, fitted.log_ratio);
  });
  ScaleFit fit = to_fit(problem, fitted, 1, "lse");
  for (std::size_t range = 0; range < ranges.size(); ++range) {
    if (by_head[range].usable) {
      fit.by_head.push_back(
          to_head_scale(problem, samples[ranges[range].first].head, by_head[range], 1));
    }
  }
  return fit;
}

std::optional<ScaleFit> fit_scale_from_out(const Problem& problem, const tensor::Capture& capture,
                                           const std::vector<RowSample>& samples) {
  if (!capture.out || problem.softmax_scale == 0.0) {
    return std::nullopt;
  }
  const auto ranges = heads_of(samples);
  std::vector<Fitted> by_head(ranges.size());
  std::vector<double> weights(samples.size(), 0.0);
  const Problem kept = keep_values(problem, samples);
  // Head by head, so that the values of a head are converted once.
  const unsigned threads = threads_within(k_most_bytes, ValueAverager::most_bytes(kept),
                                          static_cast<unsigned>(problem.threads));
  parallel_for(ranges.size(), threads, [&](std::size_t range) {
    ValueAverager averager(kept);
    set_row_weights(problem, samples, ranges[range], averager, weights);
    by_head[range] = minimise([&](double log_ratio) {
      return out_step(problem, *capture.out, samples, weights, ranges[range], averager, log_ratio);
    });
  });
  // Joined with the information of each head as its weight: to first order the fit of all heads.
  Fitted joined;
  joined.converged = true;
  double weighted = 0.0;
  for (const Fitted& fitted : by_head) {
    if (fitted.usable && fitted.converged) {
      joined.step += fitted.step;
      joined.usable = true;
      weighted += fitted.step.curvature * fitted.log_ratio;
    }
  }
  if (!joined.usable) {
    return std::nullopt;
  }
  joined.log_ratio = weighted / joined.step.curvature;
  // Heads that disagree about the scale make it less certain than rows within a head do.
  double between = 0.0;
  std::int64_t heads = 0;
  for (const Fitted& fitted : by_head) {
    if (fitted.usable && fitted.converged) {
      const double pull = fitted.step.curvature * (fitted.log_ratio - joined.log_ratio);
      between += pull * pull;
      ++heads;
    }
  }
  if (heads > 1) {
    between *= static_cast<double>(heads) / static_cast<double>(heads - 1);
    joined.step.between_heads = between;
  }
  ScaleFit fit = to_fit(problem, joined, capture.out->width, "out");
  for (std::size_t range = 0; range < ranges.size(); ++range) {
    if (by_head[range].usable) {
      fit.by_head.push_back(to_head_scale(problem, samples[ranges[range].first].head,
                                          by_head[range], capture.out->width));
    }
  }
  return fit;
}

} // namespace mla_scale::compare
