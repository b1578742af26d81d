#include <mla_scale/compare/scale_fit.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

// Scale, magnitude of the rope part, value and latent gain: the factors of the general form.

namespace mla_scale::diagnose {

namespace {

using compare::k_many_errors;

/// Of a scale from out: where lse tells it, nothing to listen to.
constexpr double k_useless_bias = 1e-2;
/// Of a closed form, for each squared standard error that it is from what was fitted: where out
/// does not tell two, the nearer one is likelier. Less than the 1/2 of normal errors, which fits of
/// rounded logits do not have.
constexpr double k_cost_of_distance = 0.1;
/// An output that is smaller still is no output.
constexpr double k_no_gain = 1e-4;

std::string fit_text(double scale, double error, double expected, FitSource source) {
  return fmt::format("fitted scale {:.7g} ± {:.1g} from {}, {:.5g} times the expected {:.7g}",
                     scale, error, source == FitSource::lse ? "lse" : "out", scale / expected,
                     expected);
}

/// Named scales near a fitted one, or scale.other.
void name_scale(const Context& context, double ratio, double error, FitSource source,
                const Factors& others, const std::vector<Part>& more,
                std::vector<Candidate>& candidates) {
  const double expected = context.reference.scale;
  const double fitted = ratio * expected;
  if (source == FitSource::out) {
    if (context.sample.any_lse && context.scale_bias > k_useless_bias) {
      return;
    }
    error = std::hypot(error, context.scale_bias);
  }
  if (std::abs(ratio - 1.0) < std::min(k_smallest_change, k_many_errors * error)) {
    return;
  }
  const std::string text = fit_text(fitted, error * expected, expected, source);
  const auto make = [&](const std::string& id, double scale, const std::string& formula,
                        double cost) {
    Candidate candidate;
    candidate.mechanism = with_factors(context.reference, others);
    candidate.mechanism.scale = scale;
    Part part{id,
              scale_parameters({scale, expected, formula, FittedScale{fitted, error * expected}}),
              text + engines_that_compute(context.expectation, scale)};
    candidate.parts.push_back(std::move(part));
    candidate.parts.insert(candidate.parts.end(), more.begin(), more.end());
    candidate.cost = cost;
    candidate.effect = std::abs(scale / expected - 1.0);
    candidate.distance_error = error / ratio;
    candidates.push_back(std::move(candidate));
  };
  double order = 0.0;
  const auto propose = [&](const std::vector<ScaleCandidate>& forms, double cost) {
    for (const auto& named : forms) {
      if (std::abs(std::log(named.value / fitted))
          < std::max(2e-2, k_many_errors * error / ratio)) {
        const double distance = std::abs(std::log(named.value / fitted));
        make(named.id, named.value, named.formula,
             cost + order + k_cost_of_distance * std::pow(distance * ratio / error, 2));
        candidates.back().distance = distance;
        order += 0.01; // Equal values stay in the order of the table.
      }
    }
  };
  propose(scale_candidates(context.expectation), 1.0);
  propose(rounded_scale_candidates(context.expectation), 3.0);
  if (ratio > 0.0) {
    const auto near =
        closed_forms_near(context.expectation, fitted, std::max(1e-4, 3.0 * error / ratio));
    std::string forms;
    for (const auto& form : near) {
      forms += (forms.empty() ? "" : ", ") + fmt::format("{} = {:.7g}", form.formula, form.value);
    }
    make("scale.other", fitted, "", 1.0 + k_cost_of_number);
    if (!forms.empty()) {
      candidates.back().parts.front().parameters.push_back({"near", forms});
    }
  }
}

Candidate one(const Context& context, const Factors& factors, double cost, std::string id,
              std::vector<Parameter> parameters, std::string evidence) {
  Candidate candidate;
  candidate.mechanism = with_factors(context.reference, factors);
  candidate.cost = cost;
  candidate.effect = std::max(
      {std::abs(factors.nope - 1.0), std::abs(factors.rope - 1.0), std::abs(factors.gain - 1.0)});
  candidate.parts.push_back({std::move(id), std::move(parameters), std::move(evidence)});
  return candidate;
}

std::optional<LinearFit> fit(const Context& context, FitSource source,
                             const FitDirections& directions, const std::vector<Factors>& starts) {
  return fit_from_starts(context.predictor, context.reference, context.probe, context.fit, source,
                         directions, starts);
}

void propose_scales(const Context& context, FitSource source, const std::vector<double>& starts,
                    std::vector<Candidate>& candidates) {
  std::vector<std::optional<LinearFit>> found(starts.size());
  parallel_for(starts.size(), context.threads(), [&](std::size_t at) {
    found[at] = fit(context, source, along_scale(), {{starts[at], starts[at], 1.0}});
  });
  std::vector<LinearFit> fits;
  for (std::optional<LinearFit>& one : found) {
    if (one && one->factors.nope > 0.0) {
      fits.push_back(std::move(*one));
    }
  }
  std::stable_sort(fits.begin(), fits.end(), [](const LinearFit& a, const LinearFit& b) {
    return a.objective < b.objective;
  });
  // Several minima: each is proposed, the score decides. A fit whose own error reaches a better one
  // is not another minimum.
  std::vector<double> seen;
  for (const LinearFit& one : fits) {
    const double ratio = one.factors.nope;
    const double reach = std::max(1e-6 * ratio, k_many_errors * one.standard_errors[0]);
    if (std::none_of(seen.begin(), seen.end(),
                     [&](double other) { return std::abs(other - ratio) < reach; })) {
      seen.push_back(ratio);
      name_scale(context, ratio, one.standard_errors[0], source, {}, {}, candidates);
    }
  }
}

void propose_rope_magnitude(const Context& context, FitSource source,
                            const std::vector<double>& /*starts*/,
                            std::vector<Candidate>& candidates) {
  const double g2 = context.expectation.mscale * context.expectation.mscale;
  const auto found = fit(context, source, along_rope(), {Factors{}, {.rope = k_far_start}});
  if (!found) {
    return;
  }
  const double rope = found->factors.rope;
  const double error = found->standard_errors[0];
  const auto add = [&](double value, double cost) {
    candidates.push_back(
        one(context, {1.0, value, 1.0}, cost, "rope.magnitude",
            {{"ratio", value}, {"cos_sin_factor", std::sqrt(std::abs(value))}},
            fmt::format("rope part of the logits times {:.6g} ± {:.1g}, nope part as expected",
                        rope, error)));
  };
  if (std::abs(rope - 1.0) > k_smallest_change) {
    add(rope, 1.0 + k_cost_of_number);
  }
  for (const double exact : {g2, 1.0 / g2, g2 * g2}) {
    if (std::abs(exact / rope - 1.0) < 5e-3 && std::abs(exact - 1.0) > 1e-6) {
      add(exact, 1.5);
    }
  }
}

/// Each head with a gain of its own: scales of a cache that are kept by head.
void propose_gains_of_heads(const Context& context, std::vector<Candidate>& candidates) {
  std::map<std::int64_t, std::vector<std::size_t>> by_head;
  for (const auto index : context.fit) {
    by_head[context.sample.rows[index].head].push_back(index);
  }
  std::map<std::int64_t, double> gains;
  std::string text;
  double effect = 0.0;
  for (const auto& [head, rows] : by_head) {
    const auto found =
        fit_factors(context.predictor, context.reference, rows, FitSource::out, along_gain(), {});
    if (!found || !(std::abs(found->factors.gain) > k_no_gain)) {
      return;
    }
    gains[head] = found->factors.gain;
    text += fmt::format("{}{:.5g}", text.empty() ? "" : ", ", found->factors.gain);
    effect = std::max(effect, std::abs(found->factors.gain - 1.0));
  }
  if (gains.size() < 2 || effect < k_smallest_change) {
    return;
  }
  Candidate candidate;
  candidate.direct = [&predictor = context.predictor, reference = context.reference,
                      gains](const Row& row) {
    auto prediction = predictor.predict(reference, row);
    const auto found = gains.find(row.head);
    const double gain = found == gains.end() ? 1.0 : found->second;
    for (double& value : prediction.out) {
      value *= gain;
    }
    prediction.fine *= gain * gain;
    prediction.coarse *= gain * gain;
    return prediction;
  };
  candidate.cost = 2.0 + k_cost_of_number * static_cast<double>(gains.size());
  candidate.effect = effect;
  candidate.parts.push_back({"value.gain",
                             {{"gains", text}},
                             fmt::format("out of each head times a number of its own: {}", text)});
  candidates.push_back(std::move(candidate));
}

void propose_gain(const Context& context, std::vector<Candidate>& candidates) {
  const auto gain = fit(context, FitSource::out, along_gain(), {Factors{}});
  if (gain && std::abs(gain->factors.gain) > k_no_gain
      && std::abs(gain->factors.gain - 1.0) > k_smallest_change) {
    candidates.push_back(one(context, gain->factors, 1.0 + k_cost_of_number, "value.gain",
                             {{"gain", gain->factors.gain}},
                             fmt::format("out is {:.6g} ± {:.1g} times the expected, in every row",
                                         gain->factors.gain, gain->standard_errors[0])));
  }
}

void propose_latent_gain(const Context& context, std::vector<Candidate>& candidates) {
  const auto latent = fit(context, FitSource::out, along_latent(), {Factors{}});
  if (latent && latent->factors.gain > k_no_gain
      && std::abs(latent->factors.gain - 1.0) > k_smallest_change) {
    candidates.push_back(
        one(context, latent->factors, 1.2 + k_cost_of_number, "latent.gain",
            {{"gain", latent->factors.gain}},
            fmt::format("nope part of the logits and out both {:.6g} ± {:.1g} times the expected",
                        latent->factors.gain, latent->standard_errors[0])));
  }
}

void propose_key_gain(const Context& context, FitSource source,
                      const std::vector<double>& /*starts*/, std::vector<Candidate>& candidates) {
  const auto keys = fit(context, source, along_nope(), {Factors{}, {.nope = k_far_start}});
  if (keys && keys->factors.nope > 0.0 && std::abs(keys->factors.nope - 1.0) > k_smallest_change) {
    candidates.push_back(
        one(context, keys->factors, 1.5 + k_cost_of_number, "latent.gain",
            {{"gain", keys->factors.nope}, {"side", std::string("keys")}},
            fmt::format("nope part of the logits {:.6g} ± {:.1g} times the expected, rope part and "
                        "values as expected",
                        keys->factors.nope, keys->standard_errors[0])));
  }
}

/// A scale and one factor more, fitted together.
void name_mixed(const Context& context, FitSource source, const LinearFit& found,
                const Factors& others, const Part& more, std::vector<Candidate>& candidates) {
  const std::size_t before = candidates.size();
  name_scale(context, found.factors.nope, found.standard_errors[0], source, others, {more},
             candidates);
  for (std::size_t at = before; at < candidates.size(); ++at) {
    candidates[at].cost += 3.0 + k_cost_of_number;
    candidates[at].effect = std::min(
        candidates[at].effect, std::max(std::abs(others.rope - 1.0), std::abs(others.gain - 1.0)));
  }
}

std::vector<Factors> same_scale(const std::vector<double>& starts) {
  std::vector<Factors> factors;
  for (const double start : starts) {
    factors.push_back({start, start, 1.0});
  }
  return factors;
}

void propose_scale_and_rope(const Context& context, FitSource source,
                            const std::vector<double>& starts, std::vector<Candidate>& candidates) {
  const auto found = fit(context, source, along_nope_and_rope(), same_scale(starts));
  if (!found || !(found->factors.nope > 0.0)) {
    return;
  }
  const double ratio = found->factors.rope / found->factors.nope;
  if (std::abs(ratio - 1.0) > k_smallest_change && std::abs(ratio) > k_smallest_change) {
    name_mixed(context, source, *found, {1.0, ratio, 1.0},
               {"rope.magnitude",
                {{"ratio", ratio}},
                fmt::format("rope part of the logits times {:.6g} of the nope part", ratio)},
               candidates);
  }
}

void propose_scale_and_gain(const Context& context, FitSource source,
                            const std::vector<double>& starts, std::vector<Candidate>& candidates) {
  if (source != FitSource::out) {
    return; // lse has no gain
  }
  const auto found = fit(context, source, along_scale_and_gain(), same_scale(starts));
  if (!found || !(found->factors.nope > 0.0)) {
    return;
  }
  const double gain = found->factors.gain;
  if (std::abs(gain - 1.0) >= k_smallest_change && gain > k_no_gain) {
    name_mixed(context, source, *found, {1.0, 1.0, gain},
               {"value.gain", {{"gain", gain}}, fmt::format("out times {:.6g}", gain)}, candidates);
  }
}

void propose_dropped_part(const Context& context, std::vector<Candidate>& candidates) {
  candidates.push_back(one(context, {1.0, 0.0, 1.0}, 1.0, "rope.dropped", {},
                           "logits of the nope part alone explain the rows"));
  candidates.push_back(one(context, {0.0, 1.0, 1.0}, 1.0, "rope.nope_dropped", {},
                           "logits of the rope part alone explain the rows"));
}

} // namespace

std::vector<Proposer> linear_proposers(const Context& context) {
  std::vector<Proposer> proposers;
  for (const auto source : sources_of(context.sample)) {
    auto starts = scale_starts(context.predictor, context.reference, context.probe, source,
                               context.threads());
    starts.push_back(1.0);
    for (const auto propose : {propose_scales, propose_rope_magnitude, propose_key_gain,
                               propose_scale_and_rope, propose_scale_and_gain}) {
      proposers.emplace_back(
          [source, starts, propose](const Context& of, std::vector<Candidate>& candidates) {
            propose(of, source, starts, candidates);
          });
    }
  }
  proposers.emplace_back(propose_dropped_part);
  if (context.sample.any_out) {
    proposers.insert(proposers.end(), {propose_gain, propose_gains_of_heads, propose_latent_gain});
  }
  return proposers;
}

} // namespace mla_scale::diagnose
