#pragma once

#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/reference/key_tiles.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace mla_scale::compare {

/// Keys of a head that are read at a time.
inline constexpr std::int64_t k_tile_keys = 256;

/// One step over the keys: for samples [first, last), which share head and sequence, the keys
/// [begin, end) of the sequence.
struct KeyWalk {
  std::size_t first = 0;
  std::size_t last = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool is_last = false; ///< no keys follow for these samples
};

/// Calls `tile` for the keys [begin, end), k_tile_keys at a time or what is left.
void walk_tiles(std::int64_t begin, std::int64_t end,
                const std::function<void(std::int64_t first, std::int64_t count)>& tile);

using KeyStep = std::function<void(reference::KeyTiles<double>& tiles, const KeyWalk& walk)>;

/// Walks the keys that the samples see, each once for all samples of its head; the steps of one
/// sample come in ascending order, those of different heads from several threads at a time. Of a
/// large capture (reference::is_large()) all heads take a step before any takes the next, so that
/// the file is read once. `samples` are sorted by head, then row.
void walk_keys(const reference::Problem& problem, const std::vector<RowSample>& samples,
               const KeyStep& step);

} // namespace mla_scale::compare
