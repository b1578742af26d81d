#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/scan_search.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

// A page of the KV cache lost, read twice, or another page's content in its place. Contents are
// those after RoPE, as a cache holds them.

namespace mla_scale::diagnose {

namespace {

constexpr std::array<std::size_t, 7> k_page_sizes = {1, 8, 16, 32, 64, 128, 256};
/// Single keys are tried in sequences up to this length, in runs up to the second number.
constexpr std::size_t k_longest_for_keys = 256;
constexpr std::size_t k_longest_run_of_keys = 64;
constexpr std::size_t k_longest_run_of_pages = 8;
/// Pairs of pages tried for each page size and row.
constexpr std::size_t k_most_pairs = 4096;

enum class Change {
  missing,     ///< the pages take no part
  twice,       ///< they count twice
  zeroed,      ///< they hold zeros: keys of logit 0 without value
  overwritten, ///< another page is read instead
  shifted,     ///< a page repeated in the block table: the later ones move up by one
};
/// Those of a run of pages, each of which is looked for in a lane of its own.
constexpr std::array k_of_runs = {Change::missing, Change::twice, Change::zeroed};

struct PageChange {
  Change change;
  std::size_t size;
  std::size_t first;      ///< page
  std::size_t last;       ///< one past the last page
  std::size_t source = 0; ///< of Change::overwritten: the page read instead
};

struct Ranges {
  std::size_t first;
  std::size_t last;
};

Ranges visible_part(const PageChange& change, std::size_t visible) {
  return {std::min(change.first * change.size, visible),
          std::min(change.last * change.size, visible)};
}

/// Lanes as in k_of_runs.
void add_runs(const PrefixScan& scan, const PageChange& pages, RangeSum& ranges) {
  constexpr std::array times = {-1.0, 1.0, -1.0};
  const auto part = visible_part(pages, scan.row().visible);
  ranges.add(0, scan.row().visible);
  ranges.add_zero_keys(2, part.last - part.first);
  ranges.add(part.first, part.last, times);
}

void add_moved(const PrefixScan& scan, const PageChange& change, RangeSum& ranges) {
  constexpr std::array taken = {-1.0};
  const auto visible = scan.row().visible;
  const auto part = visible_part(change, visible);
  ranges.add(0, visible);
  if (change.change == Change::shifted) {
    ranges.add(part.first, visible, taken);
    ranges.add(part.first - std::min(change.size, part.first),
               visible - std::min(visible, change.size));
  } else {
    const auto begin = change.source * change.size;
    ranges.add(part.first, part.last, taken);
    ranges.add(begin, std::min(begin + part.last - part.first, scan.keys()));
  }
}

void bend(const PageChange& change, const Row& row, std::span<double> logits) {
  const auto part = visible_part(change, row.visible);
  std::vector<double> times(logits.size(), 0.0);
  std::fill_n(times.begin(), row.visible, 1.0);
  const bool shifted = change.change == Change::shifted;
  for (std::size_t key = part.first; shifted && key < row.visible; ++key) {
    times[key] -= 1.0;
    times[key - change.size] += 1.0;
  }
  for (std::size_t key = part.first; !shifted && key < part.last; ++key) {
    if (change.change == Change::overwritten) {
      const auto source = change.source * change.size + key - part.first;
      times[key] -= 1.0;
      if (source < times.size()) {
        times[source] += 1.0;
      }
    } else {
      times[key] = change.change == Change::twice ? 2.0 : 0.0;
    }
  }
  for (std::size_t key = 0; key < logits.size(); ++key) {
    logits[key] += std::log(times[key]);
  }
}

Candidate candidate_of(const Context& context, const PageChange& change) {
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.bend = [change](const Row& row, std::span<double> logits) {
    bend(change, row, logits);
  };
  if (change.change == Change::zeroed) {
    candidate.mechanism.extra_mass = [change](const Row& row) {
      const auto part = visible_part(change, row.visible);
      return std::log(static_cast<double>(part.last - part.first));
    };
  }
  Part part;
  const auto number = [](std::size_t value) { return static_cast<std::int64_t>(value); };
  part.parameters = {{"page", number(change.first)},
                     {"page_size", number(change.size)},
                     {"first_key", number(change.first * change.size)},
                     {"last_key", number(change.last * change.size - 1)}};
  const std::string keys =
      fmt::format("keys {}..{}", change.first * change.size, change.last * change.size - 1);
  switch (change.change) {
  case Change::shifted:
    part.id = "pages.duplicated";
    part.parameters.push_back({"source_page", number(change.first - 1)});
    part.evidence =
        fmt::format("from key {} on stand the keys of one page before", change.first * change.size);
    break;
  case Change::overwritten:
    part.id = "pages.duplicated";
    part.parameters.push_back({"source_page", number(change.source)});
    part.evidence =
        fmt::format("in place of {} stand the keys from {} on", keys, change.source * change.size);
    break;
  case Change::twice:
    part.id = "pages.duplicated";
    part.evidence = keys + " count twice";
    break;
  case Change::zeroed:
    part.id = "pages.missing";
    part.parameters.push_back({"content", std::string("zeros")});
    part.evidence = keys + " hold zeros: logit 0, no value";
    break;
  case Change::missing:
    part.id = "pages.missing";
    part.evidence = keys + " take no part";
    break;
  }
  candidate.parts.push_back(std::move(part));
  const bool two_numbers = change.change == Change::overwritten || change.size == 1;
  candidate.cost = 1.0 + (two_numbers ? 2.0 : 1.0) * k_cost_of_scan;
  return candidate;
}

/// What can have changed in rows that see `longest` keys at most, of sequences of `total`. Larger
/// pages first: at equal misfit they are the simpler answer.
struct PageChanges {
  std::vector<PageChange> runs;
  std::vector<PageChange> shifted;
  std::vector<PageChange> overwritten;
};

void append_changes(std::size_t size, std::size_t longest, std::size_t total,
                    PageChanges& changes) {
  const std::size_t run = size == 1 ? k_longest_run_of_keys : k_longest_run_of_pages;
  const std::size_t pages = (longest + size - 1) / size;
  for (std::size_t first = 0; first < pages; ++first) {
    for (std::size_t last = first + 1; last <= std::min(pages, first + run); ++last) {
      changes.runs.push_back({Change::missing, size, first, last});
    }
  }
  if (size == 1) {
    return;
  }
  for (std::size_t first = 1; first < pages; ++first) {
    changes.shifted.push_back({Change::shifted, size, first, first + 1});
  }
  const std::size_t sources = (total + size - 1) / size;
  for (std::size_t first = 0; pages * sources <= k_most_pairs && first < pages; ++first) {
    for (std::size_t source = 0; source < sources; ++source) {
      if (source != first) {
        changes.overwritten.push_back({Change::overwritten, size, first, first + 1, source});
      }
    }
  }
}

PageChanges page_changes(std::size_t longest, std::size_t total) {
  PageChanges changes;
  for (auto size = k_page_sizes.rbegin(); size != k_page_sizes.rend(); ++size) {
    if (*size > 1 || longest <= k_longest_for_keys) {
      append_changes(*size, longest, total, changes);
    }
  }
  return changes;
}

} // namespace

void propose_pages(const Context& context, std::vector<Candidate>& candidates) {
  const unsigned threads = threads_of_proposer(context);
  const auto scans = prefix_scans(context.predictor, context.reference, context.probe, 16, threads);
  std::size_t longest = 0;
  std::size_t total = 0;
  for (const auto& scan : scans) {
    longest = std::max(longest, scan.row().visible);
    total = std::max(total, scan.keys()); // a page's content may come from the row's future
  }
  const PageChanges changes = page_changes(longest, total);
  const auto found = [&](const std::vector<PageChange>& tried, std::size_t lanes, auto add) {
    return search(
        scans, tried.size(), lanes,
        [&](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
          add(scan, tried[candidate], ranges);
        },
        threads);
  };
  const Misfits of_runs = found(changes.runs, k_of_runs.size(), add_runs);
  for (std::size_t lane = 0; lane < k_of_runs.size(); ++lane) {
    if (const auto best = of_runs.least(lane)) {
      PageChange run = changes.runs[*best];
      run.change = k_of_runs[lane];
      candidates.push_back(candidate_of(context, run));
    }
  }
  for (const auto* moved : {&changes.overwritten, &changes.shifted}) {
    if (const auto best = found(*moved, 1, add_moved).least()) {
      candidates.push_back(candidate_of(context, (*moved)[*best]));
    }
  }
}

} // namespace mla_scale::diagnose
