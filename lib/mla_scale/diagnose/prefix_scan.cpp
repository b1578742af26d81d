#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/prefix_scan.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace mla_scale::diagnose {

namespace {

Eigen::Map<const Eigen::VectorXd> vector(const double* data, std::size_t width) {
  return {data, static_cast<Eigen::Index>(width)};
}

} // namespace

PrefixScan::PrefixScan(const Predictor& predictor, const Mechanism& mechanism, std::size_t index)
    : m_row(&predictor.sample().rows[index]), m_captured(predictor.sample().out_of(index)),
      m_width(predictor.sample().width) {
  const double noise = predictor.noise().out;
  m_unit = 1.0 / (noise * noise * std::max(m_row->out_squared, 1e-300));
  auto bare = mechanism;
  bare.bend = [](const Row&, std::span<double>) {};
  std::vector<double> logits;
  predictor.logits(bare, *m_row, logits);
  m_maximum = logits.empty() ? 0.0 : *std::max_element(logits.begin(), logits.end());
  const auto& set = mechanism.values ? *mechanism.values : *predictor.sample().values;
  const auto& values = set.values[m_row->slot];
  m_sums.assign((logits.size() + 1) * m_width, 0.0);
  m_mass.assign(logits.size() + 1, 0.0);
  for (std::size_t key = 0; key < logits.size(); ++key) {
    const double weight = std::exp(logits[key] - m_maximum);
    m_mass[key + 1] = m_mass[key] + weight;
    const double* before = m_sums.data() + key * m_width;
    double* after = m_sums.data() + (key + 1) * m_width;
    const double* value = values.data() + key * m_width;
    for (std::size_t column = 0; column < m_width; ++column) {
      after[column] = before[column] + weight * value[column];
    }
  }
}

double PrefixScan::mass_of_zero() const {
  return std::exp(-m_maximum);
}

double PrefixScan::misfit(const double* sum, double mass) const {
  if (!(mass > 1e-300)) {
    return std::log1p(4.0 * m_unit * m_row->out_squared);
  }
  const double squared =
      (vector(m_captured.data(), m_width) - vector(sum, m_width) * (1.0 / mass)).squaredNorm();
  return std::log1p(squared * m_unit);
}

void RangeSum::begin(const PrefixScan& scan) {
  m_scan = &scan;
  m_sums.assign(lanes() * scan.width(), 0.0);
  std::fill(m_mass.begin(), m_mass.end(), 0.0);
}

void RangeSum::add_to(std::size_t lane, std::size_t first, std::size_t last, double times) {
  const std::size_t width = m_scan->width();
  Eigen::Map<Eigen::VectorXd> sum(m_sums.data() + lane * width, static_cast<Eigen::Index>(width));
  sum += times * (vector(m_scan->sums(last), width) - vector(m_scan->sums(first), width));
  m_mass[lane] += times * m_scan->mass(first, last);
}

void RangeSum::add(std::size_t first, std::size_t last, std::span<const double> times) {
  for (std::size_t lane = 0; first < last && lane < lanes(); ++lane) {
    add_to(lane, first, last, times[lane]);
  }
}

void RangeSum::add(std::size_t first, std::size_t last) {
  for (std::size_t lane = 0; first < last && lane < lanes(); ++lane) {
    add_to(lane, first, last, 1.0);
  }
}

void RangeSum::add_zero_keys(std::size_t lane, std::size_t count) {
  m_mass[lane] += static_cast<double>(count) * m_scan->mass_of_zero();
}

double RangeSum::misfit(std::size_t lane) const {
  return m_scan->misfit(m_sums.data() + lane * m_scan->width(), m_mass[lane]);
}

std::vector<PrefixScan> prefix_scans(const Predictor& predictor, const Mechanism& mechanism,
                                     std::span<const std::size_t> rows, std::size_t limit,
                                     unsigned threads) {
  std::vector<std::size_t> usable;
  for (const auto index : rows) {
    if (predictor.sample().rows[index].has_out) {
      usable.push_back(index);
    }
  }
  limit = rows_with_values(predictor.sample(), limit);
  std::vector<std::optional<PrefixScan>> made(std::min(limit, usable.size()));
  parallel_for(made.size(), threads, [&](std::size_t at) {
    const auto spread = usable.size() <= limit ? at : at * usable.size() / limit;
    made[at].emplace(predictor, mechanism, usable[spread]);
  });
  std::vector<PrefixScan> scans;
  for (auto& scan : made) {
    scans.push_back(std::move(*scan));
  }
  return scans;
}

} // namespace mla_scale::diagnose
