#include <mla_scale/compare/row_sample.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/diagnose/choose_rows.hpp>

#include <algorithm>
#include <set>

namespace mla_scale::diagnose {
namespace {

/// Long rows may take so many times the budget, or nothing would be left of it for several heads.
constexpr std::int64_t k_long_budget = 2;
constexpr std::int64_t k_fewest_rows = 8; // of a head, below which fewer heads say more
constexpr std::int64_t k_fewest_heads = 2;
constexpr std::int64_t k_short_rows = 12; // of a head, on top, of a long sequence
constexpr std::int64_t k_most_short_logits = 4'000'000;
constexpr std::int64_t k_fewest_keys = 16; // of a short row: fewer say little

/// Which of `count` rows in a row are worth looking at, `limit` at most.
std::vector<std::int64_t> preferred_rows(std::int64_t count, std::int64_t limit) {
  std::set<std::int64_t> chosen;
  if (count <= limit) {
    limit = count;
  }
  const auto add = [&](std::int64_t local) {
    if (local >= 0 && local < count && std::ssize(chosen) < limit) {
      chosen.insert(local);
    }
  };
  for (std::int64_t edge = 0; edge < 4; ++edge) {
    add(edge);
    add(count - 1 - edge);
  }
  for (std::int64_t page = 64; page < count && std::ssize(chosen) < limit / 3; page += 64) {
    add(page - 1);
    add(page);
  }
  // Halving steps, so that any limit gives an even spread; odd offsets, so that no page size hides.
  for (std::int64_t parts = 2; std::ssize(chosen) < limit; parts *= 2) {
    for (std::int64_t part = 1; part < parts; part += 2) {
      add(part * count / parts);
    }
    if (parts > 2 * count) {
      for (std::int64_t local = 0; local < count; ++local) {
        add(local);
      }
    }
  }
  return {chosen.begin(), chosen.end()};
}

/// The problem's rows that belong to a sequence and should see a key: others say nothing.
std::vector<std::int64_t> rows_of(const reference::Problem& problem,
                                  const tensor::Sequence& sequence) {
  std::vector<std::int64_t> rows = problem.chosen_rows();
  std::erase_if(rows, [&](std::int64_t row) {
    return row < sequence.query_begin || row >= sequence.query_end
           || problem.visible_keys(sequence, row) == 0;
  });
  return rows;
}

/// Of each long sequence some rows that see few keys, evenly, as many as the logits of all keys of
/// these sequences may be held for in so many heads.
std::vector<std::int64_t> few_short_rows(const reference::Problem& problem, std::int64_t heads) {
  std::vector<tensor::Sequence> long_ones;
  std::int64_t keys = 0; // of all of them
  for (const auto& sequence : problem.sequences) {
    if (const auto of_one = sequence.key_end - sequence.key_begin; of_one > k_long_row) {
      long_ones.push_back(sequence);
      keys += of_one;
    }
  }
  const auto limit =
      std::min(k_short_rows, k_most_short_logits / std::max(keys * heads, std::int64_t{1}));
  std::vector<std::int64_t> chosen;
  if (limit < k_fewest_rows) {
    return chosen;
  }
  for (const auto& sequence : long_ones) {
    std::vector<std::int64_t> rows = rows_of(problem, sequence);
    std::erase_if(rows, [&](std::int64_t row) {
      const std::int64_t seen = problem.visible_keys(sequence, row);
      return seen < k_fewest_keys || seen > k_short_row;
    });
    const auto some = compare::spread_evenly(rows, limit);
    chosen.insert(chosen.end(), some.begin(), some.end());
  }
  return chosen;
}

} // namespace

std::vector<HeadRow> choose_rows(const reference::Problem& problem, std::int64_t heads,
                                 std::int64_t budget, const std::vector<HeadRow>& suspects) {
  const auto all_heads = problem.chosen_heads();
  std::int64_t total_keys = 0; // of one row of each sequence
  for (const auto& sequence : problem.sequences) {
    total_keys += sequence.key_end - sequence.key_begin;
  }
  const std::int64_t most_logits = k_long_budget * budget;
  const std::int64_t affordable =
      most_logits / std::max(k_fewest_rows * total_keys, std::int64_t{1});
  const auto count = std::min({heads, std::ssize(all_heads), std::max(k_fewest_heads, affordable)});
  std::set<std::int64_t> chosen_heads;
  for (const auto& [head, row] : suspects) {
    if (2 * std::ssize(chosen_heads) < count
        && std::find(all_heads.begin(), all_heads.end(), head) != all_heads.end()) {
      chosen_heads.insert(head);
    }
  }
  for (std::int64_t parts = count; std::ssize(chosen_heads) < count; ++parts) {
    for (std::int64_t index = 0; index < parts && std::ssize(chosen_heads) < count; ++index) {
      const auto at = parts == 1 ? 0 : index * (std::ssize(all_heads) - 1) / (parts - 1);
      chosen_heads.insert(all_heads[size(at)]);
    }
  }
  std::vector<HeadRow> pairs;
  if (count == 0 || total_keys == 0) {
    return pairs;
  }
  const auto rows_each = std::clamp<std::int64_t>(budget / (count * total_keys), 4, 256);
  for (const auto& sequence : problem.sequences) {
    const auto rows = rows_of(problem, sequence);
    for (const auto at : preferred_rows(std::ssize(rows), rows_each)) {
      for (const auto head : chosen_heads) {
        pairs.emplace_back(head, rows[size(at)]);
      }
    }
  }
  constexpr std::size_t k_most_suspects = 32;
  std::int64_t logits = std::ssize(pairs) * total_keys / std::ssize(problem.sequences);
  for (std::size_t at = 0; at < std::min(k_most_suspects, suspects.size()); ++at) {
    const auto sequence = problem.sequence_of(suspects[at].second);
    const std::int64_t more = sequence ? count * (sequence->key_end - sequence->key_begin) : 0;
    if (chosen_heads.contains(suspects[at].first) && logits + more <= most_logits) {
      logits += more;
      for (const auto head : chosen_heads) {
        pairs.emplace_back(head, suspects[at].second);
      }
    }
  }
  for (const auto row : few_short_rows(problem, count)) {
    for (const auto head : chosen_heads) {
      pairs.emplace_back(head, row);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

} // namespace mla_scale::diagnose
