#include <mla_scale/compare/key_walk.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/key_blocks.hpp>

#include <algorithm>
#include <map>

namespace mla_scale::compare {
namespace {

using reference::KeyTiles;
using reference::Problem;

/// Samples that share head and sequence.
struct Piece {
  std::size_t first;
  std::size_t last;
  std::int64_t keys; ///< that the longest sees
};

std::vector<Piece> pieces_of(const std::vector<RowSample>& samples) {
  std::vector<Piece> pieces;
  const auto continues = [&](const RowSample& sample) {
    const RowSample& first = samples[pieces.back().first];
    return sample.head == first.head && sample.first_key == first.first_key;
  };
  std::size_t at = 0;
  for (const RowSample& sample : samples) {
    if (pieces.empty() || !continues(sample)) {
      pieces.push_back({at, at, 0});
    }
    pieces.back().last = ++at;
    pieces.back().keys = std::max(pieces.back().keys, std::ssize(sample.nope));
  }
  return pieces;
}

void walk_heads(const Problem& problem, const std::vector<RowSample>& samples,
                const KeyStep& step) {
  std::map<std::int64_t, std::vector<Piece>> by_head;
  for (const Piece& piece : pieces_of(samples)) {
    by_head[samples[piece.first].head].push_back(piece);
  }
  const std::vector<std::pair<std::int64_t, std::vector<Piece>>> heads(by_head.begin(),
                                                                       by_head.end());
  parallel_for(heads.size(), static_cast<unsigned>(problem.threads), [&](std::size_t head) {
    KeyTiles<double> tiles(problem, heads[head].first);
    for (const Piece& piece : heads[head].second) {
      step(tiles, {piece.first, piece.last, 0, piece.keys, true});
    }
  });
}

void walk_blocks(const Problem& problem, const std::vector<RowSample>& samples,
                 const KeyStep& step) {
  const std::int64_t block = reference::keys_per_block(problem);
  std::map<std::int64_t, std::vector<Piece>> by_sequence;
  for (const Piece& piece : pieces_of(samples)) {
    by_sequence[samples[piece.first].first_key].push_back(piece);
  }
  for (auto& entry : by_sequence) {
    std::vector<Piece>& pieces = entry.second; // that have keys left
    for (std::int64_t begin = 0; !pieces.empty(); begin += block) {
      const std::int64_t end = begin + block;
      parallel_for(pieces.size(), static_cast<unsigned>(problem.threads), [&](std::size_t i) {
        const Piece& piece = pieces[i];
        KeyTiles<double> tiles(problem, samples[piece.first].head);
        step(tiles, {piece.first, piece.last, begin, std::min(end, piece.keys), end >= piece.keys});
      });
      std::erase_if(pieces, [end](const Piece& piece) { return end >= piece.keys; });
    }
  }
}

} // namespace

void walk_tiles(std::int64_t begin, std::int64_t end,
                const std::function<void(std::int64_t first, std::int64_t count)>& tile) {
  for (std::int64_t first = begin; first < end; first += k_tile_keys) {
    tile(first, std::min(k_tile_keys, end - first));
  }
}

void walk_keys(const Problem& problem, const std::vector<RowSample>& samples, const KeyStep& step) {
  if (problem.key_block > 0 || reference::is_large(problem)) {
    walk_blocks(problem, samples, step);
  } else {
    walk_heads(problem, samples, step);
  }
}

} // namespace mla_scale::compare
