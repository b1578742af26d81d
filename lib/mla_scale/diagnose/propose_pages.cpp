#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/prefix_scan.hpp>

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

/// How often each key counts: the mask says 1, pages change it.
struct PageChange {
  std::size_t size = 0;
  std::size_t first = 0;  ///< page
  std::size_t last = 0;   ///< one past the last page
  double times = 0.0;     ///< how often the pages count: 0 lost, 2 twice
  std::size_t source = 0; ///< with `overwritten`: the page read instead
  bool overwritten = false;
  bool zeroed = false;  ///< the page holds zeros: keys of logit 0 without value
  bool shifted = false; ///< a page repeated in the block table: the later ones move up by one
};

struct Ranges {
  std::size_t first;
  std::size_t last;
};

Ranges visible_part(const PageChange& change, std::size_t visible) {
  return {std::min(change.first * change.size, visible),
          std::min(change.last * change.size, visible)};
}

double misfit(PrefixScan& scan, const PageChange& change) {
  const auto visible = scan.row().visible;
  const auto part = visible_part(change, visible);
  scan.clear();
  scan.add(0, visible);
  if (change.shifted) {
    scan.add(part.first, visible, -1.0);
    scan.add(part.first - std::min(change.size, part.first),
             visible - std::min(visible, change.size));
  } else if (change.overwritten) {
    const auto begin = change.source * change.size;
    scan.add(part.first, part.last, -1.0);
    scan.add(begin, std::min(begin + part.last - part.first, scan.keys()));
  } else {
    if (change.zeroed) {
      scan.add_zero_keys(part.last - part.first);
    }
    scan.add(part.first, part.last, change.times - 1.0);
  }
  return scan.misfit();
}

void bend(const PageChange& change, const Row& row, std::span<double> logits) {
  const auto part = visible_part(change, row.visible);
  std::vector<double> times(logits.size(), 0.0);
  std::fill_n(times.begin(), row.visible, 1.0);
  for (std::size_t key = part.first; change.shifted && key < row.visible; ++key) {
    times[key] -= 1.0;
    times[key - change.size] += 1.0;
  }
  for (std::size_t key = part.first; !change.shifted && key < part.last; ++key) {
    if (change.overwritten) {
      const auto source = change.source * change.size + key - part.first;
      times[key] -= 1.0;
      if (source < times.size()) {
        times[source] += 1.0;
      }
    } else {
      times[key] = change.times;
    }
  }
  for (std::size_t key = 0; key < logits.size(); ++key) {
    logits[key] += std::log(times[key]);
  }
}

struct Best {
  double sum = std::numeric_limits<double>::infinity();
  PageChange change;
};

void consider(std::vector<PrefixScan>& scans, const PageChange& change, Best& best) {
  double sum = 0.0;
  for (auto& scan : scans) {
    sum += misfit(scan, change);
    if (sum >= best.sum) {
      return;
    }
  }
  best = {sum, change};
}

Candidate candidate_of(const Context& context, const PageChange& change) {
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.bend = [change](const Row& row, std::span<double> logits) {
    bend(change, row, logits);
  };
  if (change.zeroed) {
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
  if (change.shifted) {
    part.id = "pages.duplicated";
    part.parameters.push_back({"source_page", number(change.first - 1)});
    part.evidence =
        fmt::format("from key {} on stand the keys of one page before", change.first * change.size);
  } else if (change.overwritten) {
    part.id = "pages.duplicated";
    part.parameters.push_back({"source_page", number(change.source)});
    part.evidence =
        fmt::format("in place of {} stand the keys from {} on", keys, change.source * change.size);
  } else if (change.times > 1.0) {
    part.id = "pages.duplicated";
    part.evidence = keys + " count twice";
  } else if (change.zeroed) {
    part.id = "pages.missing";
    part.parameters.push_back({"content", std::string("zeros")});
    part.evidence = keys + " hold zeros: logit 0, no value";
  } else {
    part.id = "pages.missing";
    part.evidence = keys + " take no part";
  }
  candidate.parts.push_back(std::move(part));
  candidate.cost = 1.0 + (change.overwritten || change.size == 1 ? 2.0 : 1.0) * k_cost_of_scan;
  return candidate;
}

} // namespace

void propose_pages(const Context& context, std::vector<Candidate>& candidates) {
  auto scans = prefix_scans(context.predictor, context.reference, context.probe, 16);
  std::size_t longest = 0;
  std::size_t total = 0;
  for (const auto& scan : scans) {
    longest = std::max(longest, scan.row().visible);
    total = std::max(total, scan.keys()); // a page's content may come from the row's future
  }
  Best missing;
  Best twice;
  Best zeroed;
  Best overwritten;
  Best shifted;
  // Larger pages first: at equal misfit they are the simpler answer.
  for (auto size = k_page_sizes.rbegin(); size != k_page_sizes.rend(); ++size) {
    if (*size == 1 && longest > k_longest_for_keys) {
      continue;
    }
    const std::size_t run = *size == 1 ? k_longest_run_of_keys : k_longest_run_of_pages;
    const std::size_t pages = (longest + *size - 1) / *size;
    for (std::size_t first = 0; first < pages; ++first) {
      for (std::size_t last = first + 1; last <= std::min(pages, first + run); ++last) {
        consider(scans, {*size, first, last, 0.0}, missing);
        consider(scans, {*size, first, last, 2.0}, twice);
        consider(scans, {*size, first, last, 0.0, 0, false, true}, zeroed);
      }
      if (first > 0 && *size > 1) {
        consider(scans, {*size, first, first + 1, 1.0, 0, false, false, true}, shifted);
      }
    }
    const std::size_t sources = (total + *size - 1) / *size;
    if (*size > 1 && pages * sources <= k_most_pairs) {
      for (std::size_t first = 0; first < pages; ++first) {
        for (std::size_t source = 0; source < sources; ++source) {
          if (source != first) {
            consider(scans, {*size, first, first + 1, 1.0, source, true}, overwritten);
          }
        }
      }
    }
  }
  for (const auto* best : {&missing, &twice, &zeroed, &overwritten, &shifted}) {
    if (std::isfinite(best->sum)) {
      candidates.push_back(candidate_of(context, best->change));
    }
  }
}

} // namespace mla_scale::diagnose
