#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/prefix_scan.hpp>

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

  auto scans = prefix_scans(context.predictor, context.reference, context.probe, 24);
  std::size_t longest = 0;
  for (const auto& scan : scans) {
    longest = std::max(longest, scan.keys());
  }
  // Other offsets: tokens of a draft, a page.
  const auto reach = static_cast<std::int64_t>(longest);
  std::int64_t best_offset = 0;
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t offset = -reach; offset <= reach; ++offset) {
    double sum = 0.0;
    for (auto& scan : scans) {
      scan.clear();
      scan.add(0, std::max<std::size_t>(1, shifted(scan.row().visible, offset, scan.keys())));
      sum += scan.misfit();
    }
    if (sum < best) {
      best = sum;
      best_offset = offset;
    }
  }
  if (std::abs(best_offset) > 1) {
    candidates.push_back(offset_mask(context, best_offset));
  }
  // The last `window` keys. Rows that a window does not shorten say nothing, hence the scan needs
  // rows with many keys: the probe has them.
  std::vector<std::pair<double, std::size_t>> windows;
  for (std::size_t window = 1; window < longest; ++window) {
    double sum = 0.0;
    for (auto& scan : scans) {
      const auto visible = scan.row().visible;
      scan.clear();
      scan.add(visible - std::min(visible, window), visible);
      sum += scan.misfit();
    }
    windows.emplace_back(sum, window);
  }
  std::sort(windows.begin(), windows.end());
  for (std::size_t at = 0; at < windows.size() && at < 2; ++at) {
    const auto window = windows[at].second;
    candidates.push_back(
        ranged(context, "mask.window", {{"window", static_cast<std::int64_t>(window)}},
               fmt::format("each row sees the last {} keys that it should see", window),
               1.0 + k_cost_of_scan, [window](const Row& row) {
                 return std::pair{row.visible - std::min(row.visible, window), row.visible};
               }));
  }
}

} // namespace mla_scale::diagnose
