#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/prefix_scan.hpp>

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

/// Where chunks begin, after the first: for a row of a sequence.
using Boundaries = std::function<std::vector<std::size_t>(const Row&)>;

void reweigh(const Row& row, std::span<double> logits, const std::vector<std::size_t>& boundaries,
             double slope) {
  hide_future(row, logits);
  std::size_t first = 0;
  for (std::size_t part = 0; part <= boundaries.size(); ++part) {
    const std::size_t last = part < boundaries.size() ? boundaries[part] : row.visible;
    if (last <= first) {
      continue;
    }
    const auto end = std::min(last, row.visible);
    if (first < end) {
      const auto range = logits.subspan(first, end - first);
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
      std::fill_n(logits.begin(), std::min(first, logits.size()), k_hidden);
    }
  };
  candidate.parts.push_back({"merge.context_dropped", std::move(parameters), std::move(evidence)});
  candidate.cost = cost;
  candidate.lse.push_back({"lse is the right one", right_lse(context, context.reference)});
  return candidate;
}

double merge_misfit(PrefixScan& scan, const std::vector<std::size_t>& boundaries, double slope) {
  const auto visible = scan.row().visible;
  scan.clear();
  std::size_t first = 0;
  for (std::size_t part = 0; part <= boundaries.size(); ++part) {
    const auto last = part < boundaries.size() ? std::min(boundaries[part], visible) : visible;
    if (const double mass = scan.mass(first, last); mass > 0.0) {
      scan.add(first, last, std::pow(mass, slope - 1.0));
    }
    first = std::max(first, last);
  }
  return scan.misfit();
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

} // namespace

void propose_merges(const Context& context, std::vector<Candidate>& candidates) {
  auto scans = prefix_scans(context.predictor, context.reference, context.probe, 16);
  std::size_t longest = 0;
  std::set<std::size_t> prefixes;
  for (const auto index : context.rows) {
    const auto& row = context.sample.rows[index];
    longest = std::max(longest, row.keys);
    if (row.prefix > 0) {
      prefixes.insert(row.prefix);
    }
  }
  for (const auto& slope : k_slopes) {
    if (!prefixes.empty()) {
      candidates.push_back(merged(
          context, slope, [](const Row& row) { return std::vector{row.prefix}; },
          {{"boundary", static_cast<std::int64_t>(*prefixes.begin())}},
          "parts: the prefix and the new tokens", 1.0));
    }
    std::size_t best_at = 0;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t boundary = 1; boundary < longest; ++boundary) {
      double sum = 0.0;
      for (auto& scan : scans) {
        sum += merge_misfit(scan, {boundary}, slope.slope);
      }
      if (sum < best) {
        best = sum;
        best_at = boundary;
      }
    }
    if (best_at > 0 && !(prefixes.size() == 1 && *prefixes.begin() == best_at)) {
      candidates.push_back(merged(
          context, slope, [best_at](const Row&) { return std::vector{best_at}; },
          {{"boundary", static_cast<std::int64_t>(best_at)}},
          fmt::format("parts: the keys before {} and the rest", best_at), 1.0 + k_cost_of_scan));
    }
    std::size_t best_chunk = 0;
    best = std::numeric_limits<double>::infinity();
    for (std::size_t chunk = k_smallest_chunk; chunk < longest; ++chunk) {
      double sum = 0.0;
      for (auto& scan : scans) {
        sum += merge_misfit(scan, chunks(scan.row(), chunk), slope.slope);
      }
      if (sum < best) {
        best = sum;
        best_chunk = chunk;
      }
    }
    if (best_chunk > 0) {
      candidates.push_back(merged(
          context, slope, [best_chunk](const Row& row) { return chunks(row, best_chunk); },
          {{"chunk", static_cast<std::int64_t>(best_chunk)}},
          fmt::format("chunks of {} keys", best_chunk), 2.0 + k_cost_of_scan));
    }
  }
  if (!prefixes.empty()) {
    candidates.push_back(dropped(
        context, [](const Row& row) { return row.prefix; },
        {{"boundary", static_cast<std::int64_t>(*prefixes.begin())}},
        "keys of the prefix take no part", 1.0));
  }
  std::size_t best_at = 0;
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t boundary = 1; boundary < longest; ++boundary) {
    double sum = 0.0;
    for (auto& scan : scans) {
      const auto visible = scan.row().visible;
      scan.clear();
      scan.add(visible > boundary ? boundary : 0, visible);
      sum += scan.misfit();
    }
    if (sum < best) {
      best = sum;
      best_at = boundary;
    }
  }
  if (best_at > 0 && !prefixes.contains(best_at)) {
    candidates.push_back(dropped(
        context, [best_at](const Row&) { return best_at; },
        {{"boundary", static_cast<std::int64_t>(best_at)}},
        fmt::format("keys before {} take no part", best_at), 1.5 + k_cost_of_scan));
  }
}

} // namespace mla_scale::diagnose
