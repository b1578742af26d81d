#include <mla_scale/diagnose/prefix_scan.hpp>

#include <algorithm>
#include <cmath>

namespace mla_scale::diagnose {

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
  m_sum.assign(m_width, 0.0);
}

void PrefixScan::clear() {
  std::fill(m_sum.begin(), m_sum.end(), 0.0);
  m_sum_mass = 0.0;
}

void PrefixScan::add(std::size_t first, std::size_t last, double times) {
  if (first >= last) {
    return;
  }
  const double* low = m_sums.data() + first * m_width;
  const double* high = m_sums.data() + last * m_width;
  for (std::size_t column = 0; column < m_width; ++column) {
    m_sum[column] += times * (high[column] - low[column]);
  }
  m_sum_mass += times * (m_mass[last] - m_mass[first]);
}

void PrefixScan::add_zero_keys(std::size_t count) {
  m_sum_mass += static_cast<double>(count) * std::exp(-m_maximum);
}

double PrefixScan::misfit() const {
  if (!(m_sum_mass > 1e-300)) {
    return std::log1p(4.0 * m_unit * m_row->out_squared);
  }
  const double inverse = 1.0 / m_sum_mass;
  double sum = 0.0;
  for (std::size_t column = 0; column < m_width; ++column) {
    const double difference = m_captured[column] - m_sum[column] * inverse;
    sum += difference * difference;
  }
  return std::log1p(sum * m_unit);
}

std::vector<PrefixScan> prefix_scans(const Predictor& predictor, const Mechanism& mechanism,
                                     std::span<const std::size_t> rows, std::size_t limit) {
  std::vector<PrefixScan> scans;
  std::vector<std::size_t> usable;
  for (const auto index : rows) {
    if (predictor.sample().rows[index].has_out) {
      usable.push_back(index);
    }
  }
  limit = rows_with_values(predictor.sample(), limit);
  for (std::size_t at = 0; at < limit && at < usable.size(); ++at) {
    const auto spread = usable.size() <= limit ? at : at * usable.size() / limit;
    scans.emplace_back(predictor, mechanism, usable[spread]);
  }
  return scans;
}

} // namespace mla_scale::diagnose
