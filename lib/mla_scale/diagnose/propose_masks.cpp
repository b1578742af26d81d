#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/scan_search.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace mla_scale::diagnose {

namespace {

/// Keys [first, last) of a row stay.
using Range = std::function<std::pair<std::size_t, std::size_t>(const Row&)>;

Candidate ranged(const Context& context, std::string id, std::vector<Parameter> parameters,
                 std::string evidence, double cost, Range range) {
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.bend = [range = std::move(range)](const Row& row, std::span<double> logits) {
    const auto [first, last] = range(row);
    for (std::size_t key = 0; key < logits.size(); ++key) {
      if (key < first || key >= last) {
        logits[key] = k_hidden;
      }
    }
  };
  candidate.cost = cost;
  candidate.parts.push_back({std::move(id), std::move(parameters), std::move(evidence)});
  return candidate;
}

std::size_t shifted(std::size_t visible, std::int64_t offset, std::size_t keys) {
  const auto last = static_cast<std::int64_t>(visible) + offset;
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(last, 0, static_cast<std::int64_t>(keys)));
}

Candidate offset_mask(const Context& context, std::int64_t offset) {
  const bool longer = offset > 0;
  return ranged(context, longer ? "mask.off_by_one_long" : "mask.off_by_one_short",
                {{"offset", offset}},
                fmt::format("each row sees {} {} than it should", std::abs(offset),
                            longer ? (offset == 1 ? "key more" : "keys more")
                                   : (offset == -1 ? "key less" : "keys less")),
                1.0 + (std::abs(offset) == 1 ? 0.0 : k_cost_of_scan), [offset](const Row& row) {
                  return std::pair{std::size_t{0}, shifted(row.visible, offset, row.keys)};
                });
}

/// The offset of the mask that fits best: tokens of a draft, a page. Rows are shortened by one key
/// less than the longest has; one left without a key counts as if it saw one, or it would agree
/// with anything.
std::int64_t best_offset(const std::vector<PrefixScan>& scans, std::size_t longest,
                         unsigned threads) {
  const std::size_t most = longest - std::min<std::size_t>(longest, 1);
  const auto offset = [most](std::size_t candidate) {
    return static_cast<std::int64_t>(candidate) - static_cast<std::int64_t>(most);
  };
  const auto sum = [&](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
    ranges.add(
        0, std::max<std::size_t>(1, shifted(scan.row().visible, offset(candidate), scan.keys())));
  };
  return offset(search(scans, 2 * most + 1, 1, sum, threads).least().value_or(most));
}

/// The two windows that fit best: each row sees its last keys. Rows that a window does not shorten
/// say nothing, hence the scan needs rows with many keys: the probe has them.
std::vector<std::size_t> best_windows(const std::vector<PrefixScan>& scans, std::size_t longest,
                                      unsigned threads) {
  if (longest < 2) {
    return {};
  }
  const auto sum = [](const PrefixScan& scan, std::size_t candidate, RangeSum& ranges) {
    const auto visible = scan.row().visible;
    ranges.add(visible - std::min(visible, candidate + 1), visible);
  };
  Misfits misfits = search(scans, longest - 1, 1, sum, threads, Needed::all);
  std::vector<std::pair<double, std::size_t>> windows;
  for (std::size_t candidate = 0; candidate < misfits.candidates(); ++candidate) {
    windows.emplace_back(misfits.of(candidate).front(), candidate + 1);
  }
  const std::size_t most = std::min<std::size_t>(windows.size(), 2);
  std::partial_sort(windows.begin(), windows.begin() + static_cast<std::ptrdiff_t>(most),
                    windows.end());
  std::vector<std::size_t> best;
  for (std::size_t at = 0; at < most; ++at) {
    best.push_back(windows[at].second);
  }
  return best;
}

} // namespace

void propose_masks(const Context& context, std::vector<Candidate>& candidates) {
  candidates.push_back(ranged(context, "mask.none", {}, "each row sees all keys of its sequence",
                              1.0, [](const Row& row) {
                                return std::pair{std::size_t{0}, row.keys};
                              }));
  const bool prefix = std::any_of(context.rows.begin(), context.rows.end(), [&](std::size_t row) {
    return context.sample.rows[row].prefix > 0;
  });
  if (prefix) {
    candidates.push_back(
        ranged(context, "mask.top_left", {},
               "row i sees keys 0..i: the mask is aligned to the first key, not to the last", 1.0,
               [](const Row& row) {
                 return std::pair{std::size_t{0}, row.local + 1};
               }));
  }
  candidates.push_back(offset_mask(context, 1));
  candidates.push_back(offset_mask(context, -1));

  const unsigned threads = threads_of_proposer(context);
  const auto scans = prefix_scans(context.predictor, context.reference, context.probe, 24, threads);
  std::size_t longest = 0;
  for (const auto& scan : scans) {
    longest = std::max(longest, scan.keys());
  }
  const std::int64_t offset = best_offset(scans, longest, threads);
  if (std::abs(offset) > 1) {
    candidates.push_back(offset_mask(context, offset));
  }
  for (const std::size_t window : best_windows(scans, longest, threads)) {
    candidates.push_back(
        ranged(context, "mask.window", {{"window", static_cast<std::int64_t>(window)}},
               fmt::format("each row sees the last {} keys that it should see", window),
               1.0 + k_cost_of_scan, [window](const Row& row) {
                 return std::pair{row.visible - std::min(row.visible, window), row.visible};
               }));
  }
}

} // namespace mla_scale::diagnose
