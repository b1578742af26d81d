#include <mla_scale/compare/key_walk.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/key_blocks.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <numeric>

namespace mla_scale::compare {
namespace {

using reference::KeyTiles;
using reference::Problem;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Values of one head that are kept converted: 64 MiB.
constexpr std::int64_t k_most_values = std::int64_t{8} << 20;
constexpr std::size_t k_most_bytes = std::size_t{256} << 20; // of them, by all threads

/// Logits of samples that a fit walks again and again, in some 20 steps, and the fewest samples.
constexpr double k_most_thinned = 2e6;
constexpr std::size_t k_fewest_thinned = 64;

/// Values of keys [first, first + count) as [count, value width]; `keys` is scratch.
void load_values(KeyTiles<double>& tiles, std::int64_t first, std::int64_t count,
                 std::vector<double>& keys, std::vector<double>& values) {
  const std::int64_t width = tiles.value_width();
  values.resize(size(count * width));
  if (!tiles.values_in_keys()) {
    tiles.load(first, count, nullptr, values.data());
    return;
  }
  keys.resize(size(count * tiles.key_width()));
  tiles.load(first, count, keys.data(), nullptr);
  for (std::int64_t j = 0; j < count; ++j) {
    std::copy_n(keys.data() + j * tiles.key_width(), width, values.data() + j * width);
  }
}

/// Rows of weights, `stride` apart.
struct Weights {
  const double* first;
  std::int64_t stride;
  std::int64_t rows;
};

/// sums[r] += Σ_j weights[r][j] values[j] of `count` values. Row by row: a matrix product would
/// pack all values for the sake of one or two rows of weights.
void add_weighted(const double* values, std::int64_t width, std::int64_t count,
                  const Weights& weights, double* sums) {
  for (std::int64_t j = 0; j < count; ++j) {
    const Eigen::Map<const Eigen::RowVectorXd> value(values + j * width, width);
    for (std::int64_t r = 0; r < weights.rows; ++r) {
      if (const double weight = weights.first[r * weights.stride + j]; weight != 0.0) {
        Eigen::Map<Eigen::RowVectorXd>(sums + r * width, width).noalias() += weight * value;
      }
    }
  }
}

/// Averages [first, first + count) of those that are wanted, which round values alike: one product
/// for all.
struct Alike {
  std::size_t first;
  std::size_t count;
  Rounding value;
  Matrix sums; ///< [samples · count, value width]

  /// Of `sums`: where those of a sample begin.
  [[nodiscard]] Eigen::Index row(std::size_t sample) const {
    return static_cast<Eigen::Index>(sample * count);
  }
};

std::vector<Alike> rounded_alike(const std::vector<ValueAverage>& wanted, std::size_t samples,
                                 std::int64_t width) {
  std::vector<Alike> groups;
  std::size_t at = 0;
  for (const ValueAverage& average : wanted) {
    if (groups.empty() || groups.back().value != average.value) {
      groups.push_back({at, 0, average.value, {}});
    }
    ++groups.back().count;
    ++at;
  }
  for (Alike& group : groups) {
    group.sums.setZero(group.row(samples), width);
  }
  return groups;
}

/// Weights of the walk's samples for the keys [first, first + tile), for all averages of a group:
/// 0 for keys that a sample does not see.
void weigh(const std::vector<ValueAverage>& wanted, const Alike& group,
           const std::vector<RowSample>& samples, const KeyWalk& walk, std::int64_t first,
           std::int64_t tile, Matrix& weights) {
  weights.setZero(group.row(walk.last - walk.first), tile);
  double* row = weights.data();
  for (std::size_t i = walk.first; i < walk.last; ++i) {
    const std::int64_t seen =
        std::clamp(std::ssize(samples[i].nope) - first, std::int64_t{0}, tile);
    for (const ValueAverage& average : std::span(wanted).subspan(group.first, group.count)) {
      if (seen > 0) {
        average.weigh(i, size(first), std::span(row, size(seen)));
      }
      row += tile;
    }
  }
}

std::int64_t value_width_of(const Problem& problem) {
  return problem.form == reference::Form::absorbed ? problem.kv_c->width : problem.v_width();
}

/// Heads of the samples, ascending.
std::vector<std::int64_t> sampled_heads(const std::vector<RowSample>& samples) {
  std::vector<std::int64_t> heads;
  for (const RowSample& sample : samples) {
    if (heads.empty() || heads.back() != sample.head) {
      heads.push_back(sample.head);
    }
  }
  return heads;
}

} // namespace

std::vector<std::vector<double>> average_values(const Problem& problem,
                                                const std::vector<RowSample>& samples,
                                                const std::vector<ValueAverage>& wanted) {
  const std::int64_t width = value_width_of(problem);
  const std::int64_t v_width = problem.v_width();
  std::vector<Alike> groups = rounded_alike(wanted, samples.size(), width);
  std::vector<std::vector<double>> results(wanted.size(),
                                           std::vector<double>(samples.size() * size(v_width)));
  walk_keys(problem, samples, [&](KeyTiles<double>& tiles, const KeyWalk& walk) {
    std::vector<double> keys;
    std::vector<double> values;
    std::vector<double> rounded;
    Matrix weights;
    walk_tiles(walk.begin, walk.end, [&](std::int64_t first, std::int64_t tile) {
      load_values(tiles, samples[walk.first].first_key + first, tile, keys, values);
      for (Alike& group : groups) {
        const double* seen = values.data();
        if (group.value != Rounding::none) {
          rounded = values;
          round_all(group.value, rounded);
          seen = rounded.data();
        }
        weigh(wanted, group, samples, walk, first, tile, weights);
        group.sums.middleRows(group.row(walk.first), weights.rows()).noalias() +=
            weights * Eigen::Map<const Matrix>(seen, tile, width);
      }
    });
    if (!walk.is_last) {
      return;
    }
    for (Alike& group : groups) {
      double* sum = group.sums.row(group.row(walk.first)).data();
      for (std::size_t i = walk.first; i < walk.last; ++i) {
        for (std::size_t at = group.first; at < group.first + group.count; ++at) {
          round_all(wanted[at].average, std::span(sum, size(width)));
          tiles.finish(sum, results[at].data() + i * size(v_width));
          sum += width;
        }
      }
    }
  });
  return results;
}

void ValueAverager::load(std::int64_t first, std::int64_t count) {
  load_values(*m_tiles, first, count, m_keys, m_values);
  m_first = first;
  m_count = count;
}

std::size_t ValueAverager::most_bytes(const Problem& problem) {
  std::int64_t keys = 0;
  for (const tensor::Sequence& sequence : problem.sequences) {
    keys = std::max(keys, sequence.key_end - sequence.key_begin);
  }
  const std::int64_t in_keys = // values that are part of keys are kept beside these
      problem.form == reference::Form::absorbed ? value_width_of(problem) + problem.qk_rope_head_dim
                                                : 0;
  const std::int64_t values = std::min(keys * value_width_of(problem), k_most_values);
  return size(values + std::min(keys * in_keys, k_most_values)) * sizeof(double);
}

unsigned ValueAverager::threads(const Problem& problem) {
  return threads_within(k_most_bytes, most_bytes(problem), static_cast<unsigned>(problem.threads));
}

std::vector<double> ValueAverager::average(const RowSample& sample, std::int64_t count,
                                           std::span<const double> weights) {
  if (sample.head != m_head) {
    m_tiles = std::make_unique<KeyTiles<double>>(m_problem, sample.head);
    m_head = sample.head;
    m_count = 0;
  }
  const auto keys = static_cast<std::int64_t>(sample.nope.size());
  const std::int64_t width = m_tiles->value_width();
  const std::int64_t most =
      std::max(k_tile_keys, k_most_values / std::max(width, m_tiles->key_width()));
  std::vector<double> sum(size(count * width), 0.0);
  for (std::int64_t begin = 0; begin < keys;) {
    const std::int64_t wanted = sample.first_key + begin;
    if (wanted < m_first || wanted >= m_first + m_count) {
      // All keys of the sequence, so that the next sample finds what it needs.
      const auto sequence = m_problem.sequence_of(sample.row);
      load(wanted,
           std::min(most, (sequence ? sequence->key_end : sample.first_key + keys) - wanted));
    }
    const std::int64_t here = std::min(keys - begin, m_first + m_count - wanted);
    add_weighted(m_values.data() + (wanted - m_first) * width, width, here,
                 {weights.data() + begin, keys, count}, sum.data());
    begin += here;
  }
  const std::int64_t v_width = m_problem.v_width();
  std::vector<double> results(size(count * v_width));
  for (std::int64_t r = 0; r < count; ++r) {
    m_tiles->finish(sum.data() + r * width, results.data() + r * v_width);
  }
  return results;
}

std::vector<RowSample> thinned(const Problem& problem, const std::vector<RowSample>& samples,
                               std::int64_t limit) {
  std::vector<std::size_t> from(samples.size());
  std::iota(from.begin(), from.end(), std::size_t{0});
  if (reference::is_large(problem)) {
    const std::vector<std::int64_t> kept =
        spread_evenly(sampled_heads(samples),
                      heads_to_copy(problem, problem.v->tokens, reference::Copied::values));
    std::erase_if(from, [&](std::size_t i) {
      return !std::binary_search(kept.begin(), kept.end(), samples[i].head);
    });
  }
  double logits = 0.0;
  for (const std::size_t i : from) {
    logits += static_cast<double>(samples[i].nope.size());
  }
  const double share = k_most_thinned / std::max(logits, k_most_thinned);
  const auto affordable = static_cast<std::size_t>(share * static_cast<double>(from.size()));
  const std::size_t count =
      std::min({from.size(), size(limit), std::max(affordable, k_fewest_thinned)});
  std::vector<RowSample> result;
  result.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    result.push_back(samples[from[i * from.size() / count]]);
  }
  return result;
}

Problem keep_values(const Problem& problem, const std::vector<RowSample>& samples) {
  return reference::is_large(problem) ? copy_keys(problem, sampled_heads(samples),
                                                  problem.v->tokens, reference::Copied::values)
                                      : problem;
}

} // namespace mla_scale::compare
