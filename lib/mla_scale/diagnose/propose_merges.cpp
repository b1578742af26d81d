#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/scan_search.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <set>

// Attention over chunks of keys, joined by wrong weights: a chunk's mass is taken as exp(slope ·
// lse) where exp(lse) is right.

namespace mla_scale::diagnose {

namespace {

/// Smaller parts than this are no chunks.
constexpr std::size_t k_smallest_chunk = 8;

struct Slope {
  const char* id;
  double slope;
  const char* text;
};

constexpr std::array k_slopes = {
    Slope{"merge.base2", std::numbers::log2e,
          "base-2 lse merged with exp: logit of the weight is log2 e times the right one"},
    Slope{"merge.base_e", std::numbers::ln2,
          "natural lse merged with exp2: logit of the weight is ln 2 times the right one"},
    Slope{"merge.average", 0.0, "the parts are averaged, whatever their lse"},
};

/// Where chunks begin, after the first, in ascending order: for a row of a sequence.
using Boundaries = std::function<std::vector<std::size_t>(const Row&)>;

void reweigh(const Row& row, std::span<double> logits, const std::vector<std::size_t>& boundaries,
             double slope) {
  hide_future(row, logits);
  std::size_t first = 0;
  for (std::size_t part = 0; part <= boundaries.size(); ++part) {
    const auto last =
        part < boundaries.size() ? std::min(boundaries[part], row.visible) : row.visible;
    if (first < last) {
      const auto range = logits.subspan(first, last - first);
      const double offset = (slope - 1.0) * log_sum_exp(range);
      for (double& logit : range) {
        logit += offset;
      }
    }
    first = last;
  }
}

/// lse of attention as it should be.
std::function<double(const Row&)> right_lse(const Context& context, const Mechanism& mechanism) {
  return [&predictor = context.predictor, mechanism](const Row& row) {
    std::vector<double> logits;
    predictor.logits(mechanism, row, logits);
    return log_sum_exp(logits);
  };
}

Candidate merged(const Context& context, const Slope& slope, Boundaries boundaries,
                 std::vector<Parameter> parameters, const std::string& where, double cost) {
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.bend = [boundaries, value = slope.slope](const Row& row,
                                                               std::span<double> logits) {
    reweigh(row, logits, boundaries(row), value);
  };
  parameters.push_back({"slope", slope.slope});
  candidate.parts.push_back(
      {slope.id, std::move(parameters), fmt::format("{}; {}", slope.text, where)});
  candidate.cost = cost;
  candidate.lse.push_back({"lse is the right one", right_lse(context, context.reference)});
  return candidate;
}

/// The first key that takes part.
using Boundary = std::function<std::size_t(const Row&)>;

Candidate dropped(const Context& context, Boundary boundary, std::vector<Parameter> parameters,
                  std::string evidence, double cost) {
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.bend = [boundary = std::move(boundary)](const Row& row,
                                                              std::span<double> logits) {
    hide_future(row, logits);
    if (const auto first = boundary(row); row.visible > first) {
      std::fill_n(logits.begin(), first, k_hidden);
    }
  };
  candidate.parts.push_back({"merge.context_dropped", std::move(parameters), std::move(evidence)});
  candidate.cost = cost;
  candidate.lse.push_back({"lse is the right one", right_lse(context, context.reference)});
  return candidate;
}

/// One lane for each slope, its parts weighed by it.
void add_merged(const PrefixScan& scan, std::span<const std::size_t> boundaries, RangeSum& ranges) {
  const auto visible = scan.row().visible;
  std::array<double, k_slopes.size()> times{};
  std::size_t first = 0;
  for (std::size_t part = 0; part <= boundaries.size(); ++part) {
    const auto last = part < boundaries.size() ? std::min(boundaries[part], visible) : visible;
    if (const double mass = scan.mass(first, last); mass > 0.0) {
      const double lse = std::log(mass);
      for (std::size_t slope = 0; slope < times.size(); ++slope) {
        times[slope] = std::exp((k_slopes[slope].slope - 1.0) * lse);
      }
      ranges.add(first, last, times);
    }
    first = last;
  }
}

/// Multiples of a chunk, up to the prefix and at it; without a prefix, over all keys.
std::vector<std::size_t> chunks(const Row& row, std::size_t chunk) {
  std::vector<std::size_t> boundaries;
  const auto end = row.prefix > 0 ? row.prefix : row.visible;
  for (std::size_t at = chunk; at < end; at += chunk) {
    boundaries.push_back(at);
  }
  if (row.prefix > 0) {
    boundaries.push_back(row.prefix);
  }
  return boundaries;
}

/// What the scans of merged parts read.
struct MergeSearch {
  const Context& context;
  unsigned threads;
  std::vector<PrefixScan> scans;
  std::size_t longest = 0; ///< keys of a row
  std::set<std::size_t> prefixes{};
};

MergeSearch merge_search(const Context& context) {
  const unsigned threads = threads_of_proposer(context);
  MergeSearch search{
      context, threads,
      prefix_scans(context.predictor, context.reference, context.probe, 16, threads)};
  for (const auto index : context.rows) {
    const auto& row = context.sample.rows[index];
    search.longest = std::max(search.longest, row.keys);
    if (row.prefix > 0) {
      search.prefixes.insert(row.prefix);
    }
  }
  return search;
}

/// Candidate n is n + `first`, up to the longest row.
Misfits search_to_longest(const MergeSearch& merges, std::size_t first, std::size_t lanes,
                          const SumCandidate& sum) {
  return search(merges.scans, merges.longest - std::min(merges.longest, first), lanes, sum,
                merges.threads);
}

/// Two parts that meet at any key.
Misfits search_boundaries(const MergeSearch& merges) {
  return search_to_longest(merges, 1, k_slopes.size(),
                           [](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
                             add_merged(scan, std::array{candidate + 1}, ranges);
                           });
}

Misfits search_chunks(const MergeSearch& merges) {
  return search_to_longest(merges, k_smallest_chunk, k_slopes.size(),
                           [](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
                             add_merged(scan, chunks(scan.row(), candidate + k_smallest_chunk),
                                        ranges);
                           });
}

void propose_merged(const MergeSearch& merges, std::vector<Candidate>& candidates) {
  const Context& context = merges.context;
  const auto& prefixes = merges.prefixes;
  const Misfits of_boundaries = search_boundaries(merges);
  const Misfits of_chunks = search_chunks(merges);
  for (std::size_t lane = 0; lane < k_slopes.size(); ++lane) {
    const Slope& slope = k_slopes[lane];
    if (!prefixes.empty()) {
      candidates.push_back(merged(
          context, slope, [](const Row& row) { return std::vector{row.prefix}; },
          {{"boundary", static_cast<std::int64_t>(*prefixes.begin())}},
          "parts: the prefix and the new tokens", 1.0));
    }
    const auto boundary = of_boundaries.least(lane);
    if (boundary && !(prefixes.size() == 1 && *prefixes.begin() == *boundary + 1)) {
      const std::size_t at = *boundary + 1;
      candidates.push_back(merged(
          context, slope, [at](const Row&) { return std::vector{at}; },
          {{"boundary", static_cast<std::int64_t>(at)}},
          fmt::format("parts: the keys before {} and the rest", at), 1.0 + k_cost_of_scan));
    }
    if (const auto found = of_chunks.least(lane)) {
      const std::size_t chunk = *found + k_smallest_chunk;
      candidates.push_back(merged(
          context, slope, [chunk](const Row& row) { return chunks(row, chunk); },
          {{"chunk", static_cast<std::int64_t>(chunk)}}, fmt::format("chunks of {} keys", chunk),
          2.0 + k_cost_of_scan));
    }
  }
}

void propose_dropped(const MergeSearch& merges, std::vector<Candidate>& candidates) {
  const Context& context = merges.context;
  const auto& prefixes = merges.prefixes;
  if (!prefixes.empty()) {
    candidates.push_back(dropped(
        context, [](const Row& row) { return row.prefix; },
        {{"boundary", static_cast<std::int64_t>(*prefixes.begin())}},
        "keys of the prefix take no part", 1.0));
  }
  const auto sum = [](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
    const auto visible = scan.row().visible;
    const std::size_t boundary = candidate + 1;
    ranges.add(visible > boundary ? boundary : 0, visible);
  };
  const auto best = search_to_longest(merges, 1, 1, sum).least();
  if (best && !prefixes.contains(*best + 1)) {
    const std::size_t at = *best + 1;
    candidates.push_back(dropped(
        context, [at](const Row&) { return at; }, {{"boundary", static_cast<std::int64_t>(at)}},
        fmt::format("keys before {} take no part", at), 1.5 + k_cost_of_scan));
  }
}

} // namespace

void propose_merges(const Context& context, std::vector<Candidate>& candidates) {
  const MergeSearch merges = merge_search(context);
  propose_merged(merges, candidates);
  propose_dropped(merges, candidates);
}

} // namespace mla_scale::diagnose
