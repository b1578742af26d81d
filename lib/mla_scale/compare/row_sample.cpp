#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/core/parallel.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace mla_scale::compare {
namespace {

using reference::KeyTiles;
using reference::Problem;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using InputMap = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;

constexpr std::int64_t k_tile_keys = 256;
/// Logits that samples may hold in all: two doubles each, 128 MiB.
constexpr std::int64_t k_most_logits = std::int64_t{8} << 20;
/// Products with the weights of a latent that one pass over the samples may take.
constexpr double k_most_expansion = 4e11;
constexpr double k_fewest_heads = 4;
/// Values of one head that are kept converted: 128 MiB.
constexpr std::int64_t k_most_values = std::int64_t{16} << 20;

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

void round_all(Rounding rounding, double* values, std::int64_t count) {
  if (rounding != Rounding::none) {
    std::for_each(values, values + count, [rounding](double& x) { x = round_to(rounding, x); });
  }
}

std::int64_t keys_seen(const Problem& problem, std::int64_t row) {
  const auto sequence = problem.sequence_of(row);
  return sequence ? problem.visible_keys(*sequence, row) : 0;
}

/// Ranges of `rows` that belong to one head.
std::vector<std::pair<std::size_t, std::size_t>> by_head(const std::vector<HeadRow>& rows) {
  std::vector<std::pair<std::size_t, std::size_t>> groups;
  for (std::size_t first = 0; first < rows.size();) {
    std::size_t last = first;
    while (last < rows.size() && rows[last].first == rows[first].first) {
      ++last;
    }
    groups.emplace_back(first, last);
    first = last;
  }
  return groups;
}

/// Logits of some rows of one head that share a sequence.
void fill_logits(const Problem& problem, KeyTiles<double>& tiles, const InputRounding& rounding,
                 std::span<RowSample> samples) {
  const std::int64_t width = tiles.key_width();
  const std::int64_t rope = problem.qk_rope_head_dim;
  const auto count = static_cast<std::int64_t>(samples.size());
  const double spread = std::hypot(rounding_spread(rounding.query), rounding_spread(rounding.key));
  std::vector<double> query(samples.size() * size(width));
  std::int64_t keys = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    double* row = query.data() + i * size(width);
    const double factor =
        problem.query_factors.empty() ? 1.0 : problem.query_factors[size(samples[i].row)];
    if (rounding.query == Rounding::none || problem.softmax_scale == 0.0) {
      tiles.load_query(samples[i].row, factor, row);
    } else {
      // Kernels round the query with the scale in it.
      tiles.load_query(samples[i].row, factor * problem.softmax_scale, row);
      round_all(rounding.query, row, width);
      std::for_each(row, row + width, [&](double& x) { x /= problem.softmax_scale; });
    }
    const std::int64_t seen = keys_seen(problem, samples[i].row);
    samples[i].nope.resize(size(seen));
    samples[i].rope.resize(size(seen));
    samples[i].noise.resize(size(spread > 0.0 ? seen : 0));
    keys = std::max(keys, seen);
  }
  std::vector<double> key(size(k_tile_keys * width));
  Matrix nope;
  Matrix roped;
  Matrix squares;
  for (std::int64_t first = 0; first < keys; first += k_tile_keys) {
    const std::int64_t tile = std::min(k_tile_keys, keys - first);
    tiles.load(samples.front().first_key + first, tile, key.data(), nullptr);
    round_all(rounding.key, key.data(), tile * width);
    const Eigen::OuterStride<> stride(width);
    nope.noalias() = InputMap(query.data(), count, width - rope, stride)
                     * InputMap(key.data(), tile, width - rope, stride).transpose();
    roped.noalias() = InputMap(query.data() + (width - rope), count, rope, stride)
                      * InputMap(key.data() + (width - rope), tile, rope, stride).transpose();
    for (std::int64_t i = 0; i < count; ++i) {
      RowSample& sample = samples[size(i)];
      const std::int64_t seen =
          std::clamp(static_cast<std::int64_t>(sample.nope.size()) - first, std::int64_t{0}, tile);
      std::copy_n(nope.data() + i * tile, seen, sample.nope.begin() + first);
      std::copy_n(roped.data() + i * tile, seen, sample.rope.begin() + first);
    }
    if (spread > 0.0) {
      squares.noalias() = InputMap(query.data(), count, width, stride).cwiseAbs2()
                          * InputMap(key.data(), tile, width, stride).cwiseAbs2().transpose();
      for (std::int64_t i = 0; i < count; ++i) {
        std::vector<double>& noise = samples[size(i)].noise;
        for (std::int64_t j = 0; j < tile && first + j < std::ssize(noise); ++j) {
          noise[size(first + j)] = spread * std::sqrt(squares(i, j));
        }
      }
    }
  }
}

/// The chosen heads, or of them as many as expanding the keys of a long latent allows, spread
/// evenly with the first and the last.
std::vector<std::int64_t> sampled_heads(const Problem& problem) {
  std::vector<std::int64_t> heads = problem.chosen_heads();
  if (problem.form != reference::Form::latent) {
    return heads;
  }
  const tensor::View3& latent = *problem.kv_c;
  const double a_head =
      2.0 * static_cast<double>(latent.tokens)
      * static_cast<double>(latent.width * (problem.nope_width() + problem.v_width()));
  const auto count = static_cast<std::size_t>(std::max(
      k_fewest_heads, std::min(k_most_expansion / a_head, static_cast<double>(heads.size()))));
  if (count >= heads.size()) {
    return heads;
  }
  std::vector<std::int64_t> some;
  for (std::size_t i = 0; i < count; ++i) {
    some.push_back(heads[i * (heads.size() - 1) / (count - 1)]);
  }
  return some;
}

} // namespace

std::vector<HeadRow> sample_rows(const Problem& problem, std::int64_t limit) {
  const std::vector<std::int64_t> heads = sampled_heads(problem);
  std::vector<std::int64_t> rows;
  double logits = 0.0;
  for (const std::int64_t row : problem.chosen_rows()) {
    if (const std::int64_t seen = keys_seen(problem, row); seen > 0) {
      rows.push_back(row);
      logits += static_cast<double>(seen);
    }
  }
  std::vector<HeadRow> sampled;
  if (rows.empty() || heads.empty()) {
    return sampled;
  }
  const double mean_logits = logits / static_cast<double>(rows.size());
  const auto affordable =
      static_cast<std::int64_t>(static_cast<double>(k_most_logits) / mean_logits);
  const auto head_count = static_cast<std::int64_t>(heads.size());
  const auto row_count = static_cast<std::int64_t>(rows.size());
  const std::int64_t a_head =
      std::min(std::max(std::min(limit, affordable) / head_count, std::int64_t{2}), row_count);
  for (std::size_t h = 0; h < heads.size(); ++h) {
    std::int64_t last = -1;
    for (std::int64_t i = 0; i < a_head; ++i) {
      // The golden ratio staggers heads, so that together they cover more rows.
      const double turn = std::fmod(static_cast<double>(h) * 0.6180339887498949, 1.0);
      std::int64_t place = i == 0 ? 0
                           : i == a_head - 1
                               ? row_count - 1
                               : static_cast<std::int64_t>((static_cast<double>(i) + turn)
                                                           * static_cast<double>(row_count)
                                                           / static_cast<double>(a_head));
      if (a_head == row_count) {
        place = i;
      }
      place = std::min(place, row_count - 1);
      if (place > last) {
        sampled.emplace_back(heads[h], rows[size(place)]);
        last = place;
      }
    }
  }
  return sampled;
}

std::vector<RowSample> sample_logits(const Problem& problem, const std::vector<HeadRow>& rows,
                                     const InputRounding& rounding) {
  std::vector<RowSample> samples(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    samples[i].head = rows[i].first;
    samples[i].row = rows[i].second;
    const auto sequence = problem.sequence_of(rows[i].second);
    samples[i].first_key = sequence ? sequence->key_begin : 0;
  }
  const auto groups = by_head(rows);
  parallel_for(groups.size(), static_cast<unsigned>(problem.threads), [&](std::size_t group) {
    const auto [first, last] = groups[group];
    KeyTiles<double> tiles(problem, rows[first].first);
    for (std::size_t begin = first; begin < last;) {
      const auto sequence = problem.sequence_of(samples[begin].row);
      std::size_t end = begin + 1;
      while (end < last && sequence && samples[end].row < sequence->query_end) {
        ++end;
      }
      fill_logits(problem, tiles, rounding, std::span(samples).subspan(begin, end - begin));
      begin = end;
    }
  });
  return samples;
}

void ValueAverager::load(std::int64_t first, std::int64_t count) {
  m_values.resize(size(count * m_tiles->value_width()));
  if (!m_tiles->values_in_keys()) {
    m_tiles->load(first, count, nullptr, m_values.data());
  } else {
    m_keys.resize(size(count * m_tiles->key_width()));
    m_tiles->load(first, count, m_keys.data(), nullptr);
    for (std::int64_t j = 0; j < count; ++j) {
      std::copy_n(m_keys.data() + j * m_tiles->key_width(), m_tiles->value_width(),
                  m_values.data() + j * m_tiles->value_width());
    }
  }
  round_all(m_rounding.value, m_values.data(), count * m_tiles->value_width());
  m_first = first;
  m_count = count;
}

std::vector<double> ValueAverager::average(const RowSample& sample, std::int64_t count,
                                           std::span<const double> weights) {
  if (sample.head != m_head || m_tiles == nullptr) {
    m_tiles = std::make_unique<KeyTiles<double>>(m_problem, sample.head);
    m_head = sample.head;
    m_count = 0;
  }
  const auto keys = static_cast<std::int64_t>(sample.nope.size());
  const std::int64_t width = m_tiles->value_width();
  const std::int64_t most =
      std::max(k_tile_keys, k_most_values / std::max(width, m_tiles->key_width()));
  Matrix sum = Matrix::Zero(count, width);
  for (std::int64_t begin = 0; begin < keys;) {
    const std::int64_t wanted = sample.first_key + begin;
    if (wanted < m_first || wanted >= m_first + m_count) {
      // All keys of the sequence, so that the next sample finds what it needs.
      const auto sequence = m_problem.sequence_of(sample.row);
      load(wanted,
           std::min(most, (sequence ? sequence->key_end : sample.first_key + keys) - wanted));
    }
    const std::int64_t here = std::min(keys - begin, m_first + m_count - wanted);
    // Row by row: a matrix product would pack all values for the sake of one or two rows of
    // weights.
    for (std::int64_t j = 0; j < here; ++j) {
      const Eigen::Map<const Eigen::RowVectorXd> value(
          m_values.data() + (wanted - m_first + j) * width, width);
      for (std::int64_t r = 0; r < count; ++r) {
        if (const double weight = weights[size(r * keys + begin + j)]; weight != 0.0) {
          sum.row(r).noalias() += weight * value;
        }
      }
    }
    begin += here;
  }
  round_all(m_rounding.average, sum.data(), count * width);
  const std::int64_t v_width = m_problem.v_width();
  std::vector<double> results(size(count * v_width));
  for (std::int64_t r = 0; r < count; ++r) {
    m_tiles->finish(sum.data() + r * width, results.data() + r * v_width);
  }
  return results;
}

} // namespace mla_scale::compare
