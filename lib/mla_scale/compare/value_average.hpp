#pragma once

#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/reference/key_tiles.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace mla_scale::compare {

/// One average that is wanted of every sample: Σ_j w_j v_j over the keys that it sees.
struct ValueAverage {
  Rounding value = Rounding::none;   ///< of v_j, also what W_UV made of a latent
  Rounding average = Rounding::none; ///< absorbed form: of the average of latents, before W_UV
  /// Puts w_first, w_first+1 ... of a sample into `weights`; called from several threads at a time.
  std::function<void(std::size_t sample, std::size_t first, std::span<double> weights)> weigh;
};

/// [samples, v_head_dim] for each of `wanted`. Reads the values once, by walk_keys().
[[nodiscard]] std::vector<std::vector<double>>
average_values(const reference::Problem& problem, const std::vector<RowSample>& samples,
               const std::vector<ValueAverage>& wanted);

/// Averages of one sample after the other, as often as wanted: keeps one head's values converted
/// while samples of that head follow each other, 64 MiB of them at most.
class ValueAverager {
public:
  explicit ValueAverager(const reference::Problem& problem) : m_problem(problem) {}

  /// Σ_j weights[r·n + j] v_j for r = 0 .. count - 1: [count, v_head_dim].
  [[nodiscard]] std::vector<double> average(const RowSample& sample, std::int64_t count,
                                            std::span<const double> weights);

  /// Bytes that it keeps at most for a problem.
  [[nodiscard]] static std::size_t most_bytes(const reference::Problem& problem);
  /// So many of the problem's threads that all averagers keep 256 MiB at most, at least 1.
  [[nodiscard]] static unsigned threads(const reference::Problem& problem);

private:
  void load(std::int64_t first, std::int64_t count);

  const reference::Problem& m_problem;
  std::unique_ptr<reference::KeyTiles<double>> m_tiles; // of m_head
  std::int64_t m_head = -1;
  std::int64_t m_first = 0;
  std::int64_t m_count = 0;
  std::vector<double> m_values; // [m_count, value width] from key row m_first
  std::vector<double> m_keys;
};

/// Some of the samples, at most about `limit`, and of long ones no more than have two million
/// logits or 64, evenly; of a large capture those of so few heads that keep_values() takes no more
/// than 256 MiB, or of four.
[[nodiscard]] std::vector<RowSample> thinned(const reference::Problem& problem,
                                             const std::vector<RowSample>& samples,
                                             std::int64_t limit);

/// Of a large capture the problem with a copy of the samples' values in memory, for many averages
/// over them; else the problem itself.
[[nodiscard]] reference::Problem keep_values(const reference::Problem& problem,
                                             const std::vector<RowSample>& samples);

} // namespace mla_scale::compare
