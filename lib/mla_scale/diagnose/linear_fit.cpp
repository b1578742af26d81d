#include <mla_scale/compare/clustered_error.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mla_scale::diagnose {

namespace {

/// Fused kernels compute exp2 in float32 with scale · log2 e rounded: a fitted scale is off by
/// this, however many rows there are (measured on an H100, see tests/gpu).
constexpr double k_kernel_error = 3e-7;

/// Residual and derivatives of one row.
struct RowFit {
  double weight = 0.0;
  Eigen::VectorXd residual; ///< captured - predicted
  Eigen::MatrixXd jacobian; ///< [residual, 3] with respect to nope, rope, gain
};

class Fitter {
public:
  Fitter(const Predictor& predictor, const Mechanism& mechanism, FitSource source)
      : m_predictor(predictor), m_mechanism(mechanism), m_source(source),
        m_logits(mechanism.logits ? mechanism.logits : predictor.sample().logits) {}

  bool row_fit(std::size_t index, const Factors& factors, RowFit& fit) const {
    const auto& sample = m_predictor.sample();
    const Row& row = sample.rows[index];
    if (m_source == FitSource::out ? !row.has_out : !row.has_lse) {
      return false;
    }
    const auto moved = with_factors(m_mechanism, factors);
    std::vector<double> weights;
    m_predictor.logits(moved, row, weights);
    std::size_t keys = weights.size();
    while (keys > 0 && !std::isfinite(weights[keys - 1])) {
      --keys;
    }
    const double total = log_sum_exp(std::span(weights).first(keys));
    if (!std::isfinite(total)) {
      return false;
    }
    const double unit = m_mechanism.scale * row.factor
                        * (m_mechanism.temperature ? m_mechanism.temperature(row) : 1.0);
    const double* u = m_logits->nope.data() + row.offset;
    const double* w = m_logits->rope.data() + row.offset;
    std::vector<double> factors_of(3 * keys);
    double mean_u = 0.0;
    double mean_w = 0.0;
    for (std::size_t key = 0; key < keys; ++key) {
      const double p = std::exp(weights[key] - total);
      factors_of[key] = p;
      mean_u += p * u[key];
      mean_w += p * w[key];
    }
    const double du = unit * m_mechanism.nope;
    const double dw = unit * m_mechanism.rope;
    if (m_source == FitSource::lse) {
      fit.residual = Eigen::VectorXd::Constant(1, row.lse - total);
      fit.jacobian.resize(1, 3);
      fit.jacobian << du * mean_u, dw * mean_w, 0.0;
      const double sigma = m_predictor.noise().lse * (1.0 + std::abs(row.lse));
      fit.weight = 1.0 / (sigma * sigma);
      return true;
    }
    for (std::size_t key = 0; key < keys; ++key) {
      const double p = factors_of[key];
      factors_of[keys + key] = p * du * (u[key] - mean_u);
      factors_of[2 * keys + key] = p * dw * (w[key] - mean_w);
    }
    std::vector<double> averages;
    m_predictor.average(m_mechanism, row, keys, 3, factors_of, averages);
    const auto width = static_cast<Eigen::Index>(sample.width);
    const auto captured = sample.out_of(index);
    const Eigen::Map<const Eigen::VectorXd> got(captured.data(), width);
    const Eigen::Map<const Eigen::VectorXd> out(averages.data(), width);
    const Eigen::Map<const Eigen::VectorXd> by_nope(averages.data() + width, width);
    const Eigen::Map<const Eigen::VectorXd> by_rope(averages.data() + 2 * width, width);
    const double gain = m_mechanism.gain * factors.gain;
    fit.residual = got - gain * out;
    fit.jacobian.resize(width, 3);
    fit.jacobian.col(0) = gain * by_nope;
    fit.jacobian.col(1) = gain * by_rope;
    fit.jacobian.col(2) = m_mechanism.gain * out;
    const Noise& healthy = m_predictor.noise();
    const double noise = std::hypot(healthy.out, healthy.probability, healthy.stored);
    fit.weight = 1.0 / (noise * noise * std::max(row.out_squared, 1e-30));
    return true;
  }

  [[nodiscard]] FitSource source() const { return m_source; }

private:
  const Predictor& m_predictor;
  const Mechanism& m_mechanism;
  FitSource m_source;
  std::shared_ptr<const LogitSet> m_logits;
};

struct Sums {
  Eigen::MatrixXd normal;
  Eigen::VectorXd gradient;
  double objective = 0.0;
  double count = 0.0;
};

Sums accumulate(const Fitter& fitter, std::span<const std::size_t> rows, const Factors& factors,
                const Eigen::MatrixXd& directions) {
  const auto parameters = directions.cols();
  Sums sums{Eigen::MatrixXd::Zero(parameters, parameters), Eigen::VectorXd::Zero(parameters)};
  RowFit fit;
  for (const auto index : rows) {
    if (!fitter.row_fit(index, factors, fit)) {
      continue;
    }
    const Eigen::MatrixXd jacobian = fit.jacobian * directions;
    sums.normal += fit.weight * (jacobian.transpose() * jacobian);
    sums.gradient += fit.weight * (jacobian.transpose() * fit.residual);
    sums.objective += fit.weight * fit.residual.squaredNorm();
    sums.count += 1.0;
  }
  return sums;
}

Factors moved(const Factors& from, const Eigen::MatrixXd& directions, const Eigen::VectorXd& by) {
  const Eigen::VectorXd change = directions * by;
  return {from.nope + change[0], from.rope + change[1], from.gain + change[2]};
}

/// Of the parameters, clustered by row: the columns of a row share the rounding of its weights.
std::vector<double> standard_errors(const Fitter& fitter, std::span<const std::size_t> rows,
                                    const Factors& factors, const Eigen::MatrixXd& directions,
                                    const Sums& sums) {
  const auto parameters = directions.cols();
  Eigen::MatrixXd normal = sums.normal;
  normal.diagonal().array() += 1e-14 * normal.trace();
  const Eigen::MatrixXd inverse =
      normal.ldlt().solve(Eigen::MatrixXd::Identity(parameters, parameters));
  Eigen::MatrixXd scatter = Eigen::MatrixXd::Zero(parameters, parameters); // Σ g gᵀ over rows
  double shares_squared = 0.0;
  double residuals = 0.0;
  RowFit fit;
  for (const auto index : rows) {
    if (!fitter.row_fit(index, factors, fit)) {
      continue;
    }
    const Eigen::MatrixXd jacobian = fit.jacobian * directions;
    // A row that the fit follows leaves less residual than it has error.
    const double share = fit.weight * (inverse * jacobian.transpose() * jacobian).trace()
                         / static_cast<double>(parameters);
    const Eigen::VectorXd gradient = fit.weight * (jacobian.transpose() * fit.residual)
                                     / (1.0 - std::min(share, compare::k_most_share));
    scatter += gradient * gradient.transpose();
    shares_squared += share * share;
    residuals += static_cast<double>(fit.residual.size());
  }
  const Eigen::MatrixXd covariance = inverse * scatter * inverse;
  const double effective = shares_squared > 0.0 ? 1.0 / shares_squared : 0.0;
  const bool from_out = fitter.source() == FitSource::out;
  const double factor = compare::few_rows_factor(effective - static_cast<double>(parameters));
  const double naive =
      (from_out && effective < compare::k_few_rows ? std::pow(compare::k_clustering, 2) : 1.0)
      * sums.objective / std::max(1.0, residuals - 1.0);
  std::vector<double> errors;
  for (Eigen::Index parameter = 0; parameter < parameters; ++parameter) {
    const double clustered = std::max(0.0, covariance(parameter, parameter)) * factor * factor;
    errors.push_back(std::sqrt(std::max(clustered, naive * inverse(parameter, parameter))
                               + k_kernel_error * k_kernel_error));
  }
  return errors;
}

FitDirections directions(std::initializer_list<std::array<double, 3>> columns) {
  return FitDirections{columns};
}

} // namespace

std::vector<FitSource> sources_of(const Sample& sample) {
  std::vector<FitSource> sources;
  if (sample.any_lse) {
    sources.push_back(FitSource::lse);
  }
  if (sample.any_out) {
    sources.push_back(FitSource::out);
  }
  return sources;
}

FitDirections along_scale() {
  return directions({{1, 1, 0}});
}
FitDirections along_nope() {
  return directions({{1, 0, 0}});
}
FitDirections along_rope() {
  return directions({{0, 1, 0}});
}
FitDirections along_nope_and_rope() {
  return directions({{1, 0, 0}, {0, 1, 0}});
}
FitDirections along_gain() {
  return directions({{0, 0, 1}});
}
FitDirections along_latent() {
  return directions({{1, 0, 1}});
}
FitDirections along_scale_and_gain() {
  return directions({{1, 1, 0}, {0, 0, 1}});
}
FitDirections along_everything() {
  return directions({{1, 0, 0}, {0, 1, 0}, {0, 0, 1}});
}

Mechanism with_factors(Mechanism mechanism, const Factors& factors) {
  mechanism.nope *= factors.nope;
  mechanism.rope *= factors.rope;
  mechanism.gain *= factors.gain;
  return mechanism;
}

std::optional<LinearFit> fit_factors(const Predictor& predictor, const Mechanism& mechanism,
                                     std::span<const std::size_t> rows, FitSource source,
                                     const FitDirections& columns, const Factors& start,
                                     int iterations) {
  const Fitter fitter(predictor, mechanism, source);
  const auto parameters = static_cast<Eigen::Index>(columns.columns.size());
  Eigen::MatrixXd matrix(3, parameters);
  for (Eigen::Index column = 0; column < parameters; ++column) {
    for (Eigen::Index part = 0; part < 3; ++part) {
      matrix(part, column) =
          columns.columns[static_cast<std::size_t>(column)][static_cast<std::size_t>(part)];
    }
  }
  LinearFit fit;
  fit.factors = start;
  auto sums = accumulate(fitter, rows, fit.factors, matrix);
  if (sums.count == 0.0) {
    return std::nullopt;
  }
  double damping = 1e-6;
  for (int iteration = 0; iteration < iterations; ++iteration) {
    Eigen::MatrixXd damped = sums.normal;
    const double trace = sums.normal.trace();
    if (!(trace > 0.0) || !std::isfinite(trace)) {
      return std::nullopt;
    }
    damped.diagonal() += damping * sums.normal.diagonal();
    damped.diagonal().array() += 1e-14 * trace;
    const Eigen::VectorXd step = damped.ldlt().solve(sums.gradient);
    const auto next = moved(fit.factors, matrix, step);
    const auto next_sums = accumulate(fitter, rows, next, matrix);
    if (next_sums.count > 0.0 && next_sums.objective <= sums.objective * (1 + 1e-13)) {
      const bool small =
          step.cwiseAbs().maxCoeff() < 1e-8 * (1e-3 + std::abs(next.nope) + std::abs(next.rope));
      fit.factors = next;
      sums = next_sums;
      damping = std::max(damping / 8.0, 1e-12);
      if (small) {
        fit.converged = true;
        break;
      }
    } else {
      damping = std::max(damping * 12.0, 1e-3);
      if (damping > 1e6) {
        fit.converged = true; // No smaller step improves: the minimum, up to rounding.
        break;
      }
    }
  }
  fit.standard_errors = standard_errors(fitter, rows, fit.factors, matrix, sums);
  fit.objective = sums.objective / sums.count;
  return fit;
}

std::optional<LinearFit> fit_from_starts(const Predictor& predictor, const Mechanism& mechanism,
                                         std::span<const std::size_t> probe,
                                         std::span<const std::size_t> rows, FitSource source,
                                         const FitDirections& fit_directions,
                                         std::span<const Factors> starts) {
  // Mean square residual, in units of the output's rounding, above which a fit explains nothing:
  // logits rounded to the dtype leave some tens.
  const double hopeless = source == FitSource::out ? 400.0 : 1e9;
  std::optional<LinearFit> best;
  for (const auto& start : starts) {
    auto fit = fit_factors(predictor, mechanism, probe, source, fit_directions, start, 12);
    if (fit && std::isfinite(fit->objective) && (!best || fit->objective < best->objective)) {
      best = std::move(fit);
    }
  }
  if (!best || best->objective > hopeless) {
    return std::nullopt;
  }
  return fit_factors(predictor, mechanism, rows, source, fit_directions, best->factors);
}

std::vector<double> scale_starts(const Predictor& predictor, const Mechanism& mechanism,
                                 std::span<const std::size_t> rows, FitSource source,
                                 unsigned threads) {
  const Fitter fitter(predictor, mechanism, source);
  constexpr std::size_t k_steps = 48;
  std::vector<double> objectives(k_steps + 1);
  std::vector<double> ratios(k_steps + 1);
  parallel_for(ratios.size(), threads, [&](std::size_t step) {
    const double part = static_cast<double>(step) / k_steps;
    const double ratio = std::exp((2.0 * part - 1.0) * std::log(60.0));
    double sum = 0.0;
    RowFit fit;
    for (const auto index : rows) {
      if (fitter.row_fit(index, {ratio, ratio, 1.0}, fit)) {
        // A bounded loss: a few rows that no scale explains must not decide.
        const double squared = fit.weight * fit.residual.squaredNorm();
        sum += std::log1p(squared);
      }
    }
    ratios[step] = ratio;
    objectives[step] = sum;
  });
  std::vector<std::size_t> minima;
  for (std::size_t at = 0; at < objectives.size(); ++at) {
    const bool below_left = at == 0 || objectives[at] <= objectives[at - 1];
    const bool below_right = at + 1 == objectives.size() || objectives[at] < objectives[at + 1];
    if (below_left && below_right) {
      minima.push_back(at);
    }
  }
  std::sort(minima.begin(), minima.end(),
            [&](std::size_t a, std::size_t b) { return objectives[a] < objectives[b]; });
  std::vector<double> starts;
  for (std::size_t at = 0; at < minima.size() && at < 3; ++at) {
    starts.push_back(ratios[minima[at]]);
  }
  return starts;
}

} // namespace mla_scale::diagnose
