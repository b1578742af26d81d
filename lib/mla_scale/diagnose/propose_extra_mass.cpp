#include <mla_scale/diagnose/candidate.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

// Mass in the softmax denominator that belongs to no key: a sink's, or that of padding lanes whose
// logit is 0.

namespace mla_scale::diagnose {

namespace {

/// What a row says about the mass: ln z = lse - logit(alpha), with its weight.
struct Estimate {
  std::int64_t head = 0;
  double lse = 0.0;
  double mass = 0.0;
  double weight = 0.0;
};

std::vector<Estimate> estimates(const Context& context) {
  std::vector<Estimate> result;
  for (const auto index : context.fit) {
    const Row& row = context.sample.rows[index];
    if (!row.has_out) {
      continue;
    }
    const auto right = context.predictor.predict(context.reference, row);
    if (!right.defined) {
      continue;
    }
    const auto got = context.sample.out_of(index);
    double dot = 0.0;
    double square = 0.0;
    for (std::size_t column = 0; column < got.size(); ++column) {
      dot += got[column] * right.out[column];
      square += right.out[column] * right.out[column];
    }
    const double alpha = square > 0.0 ? dot / square : 1.0;
    if (!(alpha > 1e-3) || !(alpha < 1.0)) {
      continue;
    }
    // d alpha / d ln z = -alpha (1 - alpha); the error of alpha is that of the rounding.
    const double noise = std::sqrt(right.fine / square);
    const double slope = alpha * (1.0 - alpha) / noise;
    result.push_back({row.head, right.lse, std::log(1.0 / alpha - 1.0) + right.lse, slope * slope});
  }
  return result;
}

/// From lse' = ln(e^lse + z), when there is no out.
std::vector<Estimate> estimates_from_lse(const Context& context) {
  std::vector<Estimate> result;
  for (const auto index : context.fit) {
    const Row& row = context.sample.rows[index];
    if (!row.has_lse) {
      continue;
    }
    std::vector<double> logits;
    context.predictor.logits(context.reference, row, logits);
    const double right = log_sum_exp(logits);
    const double more = row.lse - right;
    if (more > 1e-5) {
      const double mass = right + std::log(std::expm1(more));
      result.push_back({row.head, right, mass, std::expm1(more)});
    }
  }
  return result;
}

double weighted_median(std::vector<std::pair<double, double>> values) {
  if (values.empty()) {
    return -std::numeric_limits<double>::infinity();
  }
  std::sort(values.begin(), values.end());
  double total = 0.0;
  for (const auto& value : values) {
    total += value.second;
  }
  double sum = 0.0;
  for (const auto& value : values) {
    sum += value.second;
    if (sum >= 0.5 * total) {
      return value.first;
    }
  }
  return values.back().first;
}

/// Weighted mean of the estimates close to their median.
double centre(const std::vector<Estimate>& all, std::int64_t head, bool every_head) {
  std::vector<std::pair<double, double>> values;
  for (const auto& estimate : all) {
    if (every_head || estimate.head == head) {
      values.emplace_back(estimate.mass, estimate.weight);
    }
  }
  const double median = weighted_median(values);
  double sum = 0.0;
  double weights = 0.0;
  for (const auto& [mass, weight] : values) {
    if (std::abs(mass - median) < std::max(0.05, 6.0 / std::sqrt(weight))) {
      sum += mass * weight;
      weights += weight;
    }
  }
  return weights > 0.0 ? sum / weights : median;
}

void add(const Context& context, std::vector<Candidate>& candidates, Part part,
         std::function<double(const Row&)> mass, double cost, bool lse_moves_first) {
  // What it takes from out, on average.
  double effect = 0.0;
  for (const auto index : context.probe) {
    std::vector<double> logits;
    context.predictor.logits(context.reference, context.sample.rows[index], logits);
    effect += 1.0 / (1.0 + std::exp(log_sum_exp(logits) - mass(context.sample.rows[index])));
  }
  effect /= static_cast<double>(std::max<std::size_t>(1, context.probe.size()));
  for (const bool counts : {lse_moves_first, !lse_moves_first}) {
    Candidate candidate;
    candidate.mechanism = context.reference;
    candidate.mechanism.extra_mass = mass;
    candidate.mechanism.lse_counts_extra_mass = counts;
    candidate.parts.push_back(part);
    if (context.sample.any_lse) {
      candidate.parts.back().evidence += counts ? "; lse counts it" : "; lse does not count it";
    }
    candidate.effect = effect;
    candidate.cost = cost + (counts == lse_moves_first ? 0.0 : 1.0);
    candidates.push_back(std::move(candidate));
    if (!context.sample.any_lse) {
      break;
    }
  }
}

void propose_lanes(const Context& context, std::int64_t lanes, double cost,
                   std::vector<Candidate>& candidates) {
  const double mass = std::log(static_cast<double>(lanes));
  add(
      context, candidates,
      {"softmax.padding_lanes",
       {{"lanes", lanes}},
       fmt::format("{} keys of logit 0 without value stay in the denominator", lanes)},
      [mass](const Row&) { return mass; }, cost, true);
}

} // namespace

void propose_extra_mass(const Context& context, std::vector<Candidate>& candidates) {
  const auto all = context.sample.any_out ? estimates(context) : estimates_from_lse(context);
  if (all.size() < 4) {
    return;
  }
  const double common = centre(all, 0, true);
  if (std::isfinite(common) && common > -1.0 && common < 15.0) {
    const double lanes = std::exp(common);
    const auto nearest = static_cast<std::int64_t>(std::llround(lanes));
    for (const auto near : {nearest, nearest - 1, nearest + 1}) {
      if (near >= 1) {
        propose_lanes(context, near, 1.0 + k_cost_of_scan, candidates);
      }
    }
  }
  // Lanes up to the end of a tile: other numbers for other rows.
  for (const std::size_t tile : {16U, 32U, 64U, 128U, 256U}) {
    add(
        context, candidates,
        {"softmax.padding_lanes",
         {{"tile", static_cast<std::int64_t>(tile)}},
         fmt::format("the row's last tile of {} keys is filled with keys of logit 0", tile)},
        [tile](const Row& row) {
          const auto lanes = (tile - row.visible % tile) % tile;
          return std::log(static_cast<double>(lanes));
        },
        2.0 + k_cost_of_scan, true);
  }
  std::map<std::int64_t, double> sinks;
  std::string text;
  for (const auto index : context.rows) {
    const auto head = context.sample.rows[index].head;
    if (!sinks.contains(head)) {
      sinks[head] = centre(all, head, false);
      text += fmt::format("{}{:.4g}", text.empty() ? "" : ", ", sinks[head]);
    }
  }
  add(
      context, candidates,
      {"softmax.sink",
       {{"sinks", text}},
       fmt::format("a mass of e^x without value in each head's denominator, x = {}", text)},
      [sinks](const Row& row) {
        const auto found = sinks.find(row.head);
        return found == sinks.end() ? -std::numeric_limits<double>::infinity() : found->second;
      },
      1.0 + k_cost_of_number * static_cast<double>(sinks.size()), false);
  add(
      context, candidates,
      {"softmax.sink",
       {{"sink", common}},
       fmt::format("a mass of e^{:.5g} without value in every head's denominator", common)},
      [common](const Row&) { return common; }, 2.0 + k_cost_of_number, false);
}

} // namespace mla_scale::diagnose
