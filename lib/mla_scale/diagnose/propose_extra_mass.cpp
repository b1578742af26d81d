#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

// Mass in the softmax denominator that belongs to no key: a sink's, or that of padding lanes whose
// logit is 0.

namespace mla_scale::diagnose {

namespace {

/// What a row says about the mass z: out / right out is 1 / (1 + z e^-lse), and the captured lse is
/// ln(e^lse + z) where it counts the mass.
struct Observation {
  std::int64_t head;
  double lse; ///< the right one
  double alpha = 0.0;
  double alpha_weight = 0.0; ///< 1 / variance; 0 without out
  double captured_lse = 0.0;
  double lse_weight = 0.0; ///< 0 without lse
};

/// Nothing of a row that sees no key.
std::optional<Observation> observation(const Context& context, std::size_t index) {
  const Row& row = context.sample.rows[index];
  const auto right = context.predictor.predict(context.reference, row);
  if (!right.defined) {
    return std::nullopt;
  }
  Observation one{row.head, right.lse};
  if (row.has_out) {
    const auto got = context.sample.out_of(index);
    double dot = 0.0;
    double square = 0.0;
    for (std::size_t column = 0; column < got.size(); ++column) {
      dot += got[column] * right.out[column];
      square += right.out[column] * right.out[column];
    }
    if (square > 0.0) {
      one.alpha = dot / square;
      one.alpha_weight = square / right.fine;
    }
  }
  if (row.has_lse) {
    one.captured_lse = row.lse;
    one.lse_weight = 1.0 / right.lse_fine;
  }
  return one;
}

std::vector<Observation> observations(const Context& context) {
  std::vector<std::optional<Observation>> of_rows(context.fit.size());
  parallel_for(of_rows.size(), threads_of_proposer(context),
               [&](std::size_t at) { of_rows[at] = observation(context, context.fit[at]); });
  std::vector<Observation> result;
  for (const auto& one : of_rows) {
    if (one) {
      result.push_back(*one);
    }
  }
  return result;
}

/// ln z by Gauss-Newton from out, or from lse, over the rows of one head or of all. -infinity when
/// they show no mass.
double fitted_mass(const std::vector<Observation>& all, std::optional<std::int64_t> head,
                   bool from_lse) {
  const auto sums = [&](double mass) {
    std::array<double, 3> result{}; // Σ w r², Σ w r d, Σ w d²
    for (const auto& one : all) {
      if (head && one.head != *head) {
        continue;
      }
      const double share = 1.0 / (1.0 + std::exp(one.lse - mass)); // of the mass: 1 - alpha
      const double residual =
          from_lse ? one.captured_lse - one.lse + std::log1p(-share) : one.alpha - (1.0 - share);
      const double slope = from_lse ? share : -share * (1.0 - share);
      const double weight = from_lse ? one.lse_weight : one.alpha_weight;
      result[0] += weight * residual * residual;
      result[1] += weight * residual * slope;
      result[2] += weight * slope * slope;
    }
    return result;
  };
  double mass = 0.0;
  double least = k_infinity;
  for (double start = -4.0; start <= 12.0; start += 0.5) {
    if (const double sum = sums(start)[0]; sum < least) {
      least = sum;
      mass = start;
    }
  }
  constexpr int k_steps = 30;
  for (int step = 0; step < k_steps; ++step) {
    const auto at = sums(mass);
    if (!(at[2] > 0.0)) {
      return -k_infinity;
    }
    const double change = std::clamp(at[1] / at[2], -0.5, 0.5);
    mass += change;
    if (std::abs(change) < 1e-10) {
      break;
    }
  }
  return mass;
}

/// The context with the right lse of its probe rows, which every candidate reads.
struct Probed {
  const Context& context;
  std::vector<double> lse; ///< as Context::probe
};

Probed probed(const Context& context) {
  Probed result{context, std::vector<double>(context.probe.size())};
  parallel_for(result.lse.size(), threads_of_proposer(context), [&](std::size_t at) {
    std::vector<double> logits;
    context.predictor.logits(context.reference, context.sample.rows[context.probe[at]], logits);
    result.lse[at] = log_sum_exp(logits);
  });
  return result;
}

void add(const Probed& of, std::vector<Candidate>& candidates, Part part,
         std::function<double(const Row&)> mass, double cost, bool lse_moves_first) {
  const Context& context = of.context;
  // What it takes from out, on average.
  double effect = 0.0;
  for (std::size_t at = 0; at < of.lse.size(); ++at) {
    effect += 1.0 / (1.0 + std::exp(of.lse[at] - mass(context.sample.rows[context.probe[at]])));
  }
  effect /= static_cast<double>(of.lse.size());
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
    // A kernel's own lse counts what its denominator holds; a sink may be added behind it.
    candidate.cost = cost + (counts == lse_moves_first ? 0.0 : (lse_moves_first ? 6.0 : 1.0));
    candidates.push_back(std::move(candidate));
    if (!context.sample.any_lse) {
      break;
    }
  }
}

void propose_lanes(const Probed& of, std::int64_t lanes, double cost,
                   std::vector<Candidate>& candidates) {
  const double mass = std::log(static_cast<double>(lanes));
  add(
      of, candidates,
      {"softmax.padding_lanes",
       {{"lanes", lanes}},
       fmt::format("{} keys of logit 0 without value stay in the denominator", lanes)},
      [mass](const Row&) { return mass; }, cost, true);
}

/// An integer number of lanes, and sinks, from a mass that out or lse shows.
void propose_fitted(const Probed& of, const std::vector<Observation>& all, bool from_lse,
                    std::vector<Candidate>& candidates) {
  const Context& context = of.context;
  const double common = fitted_mass(all, std::nullopt, from_lse);
  if (std::isfinite(common) && common > -1.0 && common < 15.0) {
    const auto nearest = static_cast<std::int64_t>(std::llround(std::exp(common)));
    for (const auto near : {nearest, nearest - 1, nearest + 1}) {
      if (near >= 1) {
        // Fewer lanes than a vector has are rather a sink.
        constexpr std::int64_t k_fewest_lanes = 4;
        propose_lanes(of, near, (near < k_fewest_lanes ? 4.0 : 1.0) + k_cost_of_scan, candidates);
      }
    }
  }
  std::map<std::int64_t, double> sinks;
  std::string text;
  for (const auto index : context.rows) {
    const auto head = context.sample.rows[index].head;
    if (!sinks.contains(head)) {
      sinks[head] = fitted_mass(all, head, from_lse);
      text += fmt::format("{}{:.4g}", text.empty() ? "" : ", ", sinks[head]);
    }
  }
  add(
      of, candidates,
      {"softmax.sink",
       {{"sinks", text}},
       fmt::format("a mass of e^x without value in each head's denominator, x = {}", text)},
      [sinks](const Row& row) {
        const auto found = sinks.find(row.head);
        return found == sinks.end() ? -k_infinity : found->second;
      },
      1.0 + k_cost_of_number * static_cast<double>(sinks.size()), false);
  add(
      of, candidates,
      {"softmax.sink",
       {{"sink", common}},
       fmt::format("a mass of e^{:.5g} without value in every head's denominator", common)},
      [common](const Row&) { return common; }, 2.0 + k_cost_of_number, false);
}

} // namespace

void propose_extra_mass(const Context& context, std::vector<Candidate>& candidates) {
  const auto all = observations(context);
  if (all.size() < 4) {
    return;
  }
  const Probed of = probed(context);
  std::vector<bool> sources; // from lse?
  if (context.sample.any_lse) {
    sources.push_back(true);
  }
  if (context.sample.any_out) {
    sources.push_back(false);
  }
  for (const bool from_lse : sources) {
    propose_fitted(of, all, from_lse, candidates);
  }
  // Lanes up to the end of a tile: other numbers for other rows.
  for (const std::size_t tile : {16U, 32U, 64U, 128U, 256U}) {
    add(
        of, candidates,
        {"softmax.padding_lanes",
         {{"tile", static_cast<std::int64_t>(tile)}},
         fmt::format("the row's last tile of {} keys is filled with keys of logit 0", tile)},
        [tile](const Row& row) {
          const auto lanes = (tile - row.visible % tile) % tile;
          return std::log(static_cast<double>(lanes));
        },
        2.0 + k_cost_of_scan, true);
  }
  add(
      of, candidates,
      {"softmax.padding_lanes",
       {{"lanes", std::string("all masked keys")}},
       "the keys that the mask hides stay in the denominator, with logit 0"},
      [](const Row& row) { return std::log(static_cast<double>(row.keys - row.visible)); },
      1.0 + k_cost_of_scan, true);
}

} // namespace mla_scale::diagnose
