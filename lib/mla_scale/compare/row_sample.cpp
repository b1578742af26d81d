#include <mla_scale/compare/key_walk.hpp>
#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/core/number.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <span>

namespace mla_scale::compare {
namespace {

using reference::KeyTiles;
using reference::Problem;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using InputMap = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;

/// Logits that samples may hold in all: two doubles each, 128 MiB.
constexpr std::int64_t k_most_logits = std::int64_t{8} << 20;
/// Products with the weights of a latent that one pass over the samples may take.
constexpr double k_most_expansion = 4e11;
constexpr std::int64_t k_fewest_heads = 4;
/// Rows of a head below which fewer heads say more than fewer rows.
constexpr std::int64_t k_fewest_rows = 8;

std::int64_t keys_seen(const Problem& problem, std::int64_t row) {
  const auto sequence = problem.sequence_of(row);
  return sequence ? problem.visible_keys(*sequence, row) : 0;
}

bool rounds_logits(const InputRounding& rounding) {
  return rounding.query != Rounding::none || rounding.key != Rounding::none;
}

/// Copies what a row has of keys from the `first` on, as far as it sees them.
void copy_seen(const Eigen::Ref<const Eigen::RowVectorXd>& of_keys, std::int64_t first,
               std::vector<double>& row) {
  const auto rest = std::span(row).subspan(std::min(size(first), row.size()));
  std::copy_n(of_keys.data(), std::min(of_keys.size(), std::ssize(rest)), rest.begin());
}

/// Logits of the keys of one step of a walk, for the samples that it is for.
void fill_logits(const Problem& problem, KeyTiles<double>& tiles, const InputRounding& rounding,
                 const KeyWalk& walk, std::span<RowSample> samples) {
  const std::int64_t width = tiles.key_width();
  const std::int64_t rope = problem.qk_rope_head_dim;
  const auto count = static_cast<std::int64_t>(samples.size());
  const double spread = std::hypot(rounding_spread(rounding.query), rounding_spread(rounding.key));
  std::vector<double> query(samples.size() * size(width));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    double* row = query.data() + i * size(width);
    const double factor =
        problem.query_factors.empty() ? 1.0 : problem.query_factors[size(samples[i].row)];
    if (rounding.query == Rounding::none || problem.softmax_scale == 0.0) {
      tiles.load_query(samples[i].row, factor, row);
    } else {
      // Kernels round the query with the scale in it.
      tiles.load_query(samples[i].row, factor * problem.softmax_scale, row);
      round_all(rounding.query, std::span(row, size(width)));
      std::for_each(row, row + width, [&](double& x) { x /= problem.softmax_scale; });
    }
  }
  std::vector<double> key(size(k_tile_keys * width));
  Matrix nope;
  Matrix roped;
  Matrix noise;
  walk_tiles(walk.begin, walk.end, [&](std::int64_t first, std::int64_t tile) {
    tiles.load(samples.front().first_key + first, tile, key.data(), nullptr);
    round_all(rounding.key, std::span(key.data(), size(tile * width)));
    const Eigen::OuterStride<> stride(width);
    nope.noalias() = InputMap(query.data(), count, width - rope, stride)
                     * InputMap(key.data(), tile, width - rope, stride).transpose();
    roped.noalias() = InputMap(query.data() + (width - rope), count, rope, stride)
                      * InputMap(key.data() + (width - rope), tile, rope, stride).transpose();
    if (rounds_logits(rounding)) {
      noise.noalias() = InputMap(query.data(), count, width, stride).cwiseAbs2()
                        * InputMap(key.data(), tile, width, stride).cwiseAbs2().transpose();
      noise = spread * noise.cwiseSqrt();
    }
    Eigen::Index row = 0;
    for (RowSample& sample : samples) {
      copy_seen(nope.row(row), first, sample.nope);
      copy_seen(roped.row(row), first, sample.rope);
      if (rounds_logits(rounding)) {
        copy_seen(noise.row(row), first, sample.noise);
      }
      ++row;
    }
  });
}

/// Heads that expanding the keys of a latent allows.
std::int64_t affordable_heads(const Problem& problem) {
  if (problem.form != reference::Form::latent) {
    return problem.q.heads;
  }
  const tensor::View3& latent = *problem.kv_c;
  const double a_head =
      2.0 * static_cast<double>(latent.tokens)
      * static_cast<double>(latent.width * (problem.nope_width() + problem.v_width()));
  return static_cast<std::int64_t>(
      std::min(k_most_expansion / a_head, static_cast<double>(problem.q.heads)));
}

} // namespace

std::vector<std::int64_t> spread_evenly(const std::vector<std::int64_t>& indices,
                                        std::int64_t count) {
  const std::size_t wanted = std::min(size(std::max(count, k_fewest_heads)), indices.size());
  const std::size_t gaps = std::max(wanted - 1, std::size_t{1});
  std::vector<std::int64_t> some;
  for (std::size_t i = 0; i < wanted; ++i) {
    some.push_back(indices[i * (indices.size() - 1) / gaps]);
  }
  return some;
}

std::vector<HeadRow> sample_rows(const Problem& problem, std::int64_t limit) {
  std::vector<std::int64_t> rows;
  double logits = 0.0;
  for (const std::int64_t row : problem.chosen_rows()) {
    if (const std::int64_t seen = keys_seen(problem, row); seen > 0) {
      rows.push_back(row);
      logits += static_cast<double>(seen);
    }
  }
  std::vector<HeadRow> sampled;
  if (rows.empty()) {
    return sampled;
  }
  const double mean_logits = logits / static_cast<double>(rows.size());
  const auto affordable =
      static_cast<std::int64_t>(static_cast<double>(k_most_logits) / mean_logits);
  const std::vector<std::int64_t> heads = spread_evenly(
      problem.chosen_heads(), std::min(affordable_heads(problem), affordable / k_fewest_rows));
  const auto head_count = static_cast<std::int64_t>(heads.size());
  const auto row_count = static_cast<std::int64_t>(rows.size());
  const std::int64_t a_head =
      std::min(std::max(std::min(limit, affordable) / head_count, std::int64_t{2}), row_count);
  double ordinal = 0.0;
  for (const std::int64_t head : heads) {
    // The golden ratio staggers heads, so that together they cover more rows.
    const double turn = std::fmod(ordinal * 0.6180339887498949, 1.0);
    for (std::int64_t i = 0; i < a_head; ++i) {
      const std::int64_t place = i == 0 ? 0
                                 : i == a_head - 1
                                     ? row_count - 1
                                     : static_cast<std::int64_t>((static_cast<double>(i) + turn)
                                                                 * static_cast<double>(row_count)
                                                                 / static_cast<double>(a_head));
      sampled.emplace_back(head, rows[size(place)]);
    }
    ordinal += 1.0;
  }
  return sampled;
}

std::vector<HeadRow> within_memory(const Problem& problem, std::vector<HeadRow> rows) {
  std::int64_t logits = 0;
  const auto fits = [&](const HeadRow& row) {
    logits += keys_seen(problem, row.second);
    return logits <= k_most_logits;
  };
  rows.erase(std::find_if_not(rows.begin(), rows.end(), fits), rows.end());
  return rows;
}

std::vector<RowSample> sample_logits(const Problem& problem, const std::vector<HeadRow>& rows,
                                     const InputRounding& rounding) {
  std::vector<RowSample> samples(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    samples[i].head = rows[i].first;
    samples[i].row = rows[i].second;
    const auto sequence = problem.sequence_of(rows[i].second);
    samples[i].first_key = sequence ? sequence->key_begin : 0;
    const std::int64_t seen = keys_seen(problem, samples[i].row);
    samples[i].nope.resize(size(seen));
    samples[i].rope.resize(size(seen));
    samples[i].noise.resize(size(rounds_logits(rounding) ? seen : 0));
  }
  walk_keys(problem, samples, [&](KeyTiles<double>& tiles, const KeyWalk& walk) {
    fill_logits(problem, tiles, rounding, walk,
                std::span(samples).subspan(walk.first, walk.last - walk.first));
  });
  return samples;
}

} // namespace mla_scale::compare
