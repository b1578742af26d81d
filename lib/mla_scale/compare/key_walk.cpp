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
  std::size_t first = 0;
  std::size_t last = 0;
  std::int64_t keys = 0; ///< that the longest sees
};

std::vector<Piece> pieces_of(const std::vector<RowSample>& samples) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const bool same = i > 0 && samples[i].head == samples[i - 1].head
                      && samples[i].first_key == samples[i - 1].first_key;
    if (!same) {
      pieces.push_back({i, i, 0});
    }
    pieces.back().last = i + 1;
    pieces.back().keys = std::max(pieces.back().keys, std::ssize(samples[i].nope));
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
  for (const auto& entry : by_sequence) {
    const std::vector<Piece>& pieces = entry.second;
    const auto longest =
        std::max_element(pieces.begin(), pieces.end(),
                         [](const Piece& a, const Piece& b) { return a.keys < b.keys; });
    for (std::int64_t begin = 0; begin < longest->keys; begin += block) {
      const std::int64_t end = std::min(begin + block, longest->keys);
      parallel_for(pieces.size(), static_cast<unsigned>(problem.threads), [&](std::size_t i) {
        const Piece& piece = pieces[i];
        if (begin < piece.keys) {
          KeyTiles<double> tiles(problem, samples[piece.first].head);
          step(tiles,
               {piece.first, piece.last, begin, std::min(end, piece.keys), end >= piece.keys});
        }
      });
    }
  }
}

} // namespace

void walk_keys(const Problem& problem, const std::vector<RowSample>& samples, const KeyStep& step) {
  if (problem.key_block > 0 || reference::is_large(problem)) {
    walk_blocks(problem, samples, step);
  } else {
    walk_heads(problem, samples, step);
  }
}

} // namespace mla_scale::compare
