#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

// Scale, magnitude of the rope part, value and latent gain: the factors of the general form.

namespace mla_scale::diagnose {

namespace {

std::vector<FitSource> sources(const Context& context) {
  std::vector<FitSource> result;
  if (context.sample.any_lse) {
    result.push_back(FitSource::lse);
  }
  if (context.sample.any_out) {
    result.push_back(FitSource::out);
  }
  return result;
}

std::string engine_text(const Expectation& expectation, double scale) {
  std::string text;
  for (const auto& engine : expectation.engines) {
    for (const auto& [phase, value] :
         {std::pair{"prefill", engine.prefill}, std::pair{"decode", engine.decode}}) {
      if (value && std::abs(*value / scale - 1.0) < 1e-4 && text.size() < 160) {
        text += fmt::format("{}{} ({})", text.empty() ? "; this is what is computed by " : ", ",
                            engine.engine, phase);
      }
    }
  }
  return text;
}

std::string fit_text(double scale, double error, double expected, FitSource source) {
  return fmt::format("fitted scale {:.7g} ± {:.1g} from {}, {:.5g} of the expected {:.7g}", scale,
                     error, source == FitSource::lse ? "lse" : "out", scale / expected, expected);
}

/// Named scales near a fitted one, or scale.other.
void name_scale(const Context& context, double ratio, double error, FitSource source,
                const Factors& others, const std::vector<Part>& more,
                std::vector<Candidate>& candidates) {
  const double expected = context.reference.scale;
  const double fitted = ratio * expected;
  const std::string text = fit_text(fitted, error * expected, expected, source);
  const auto make = [&](const std::string& id, double scale, const std::string& formula,
                        double cost) {
    Candidate candidate;
    candidate.mechanism = with_factors(context.reference, others);
    candidate.mechanism.scale = scale;
    Part part{id, {{"softmax_scale", scale}, {"expected", expected}, {"ratio", scale / expected}},
              text + engine_text(context.expectation, scale)};
    if (!formula.empty()) {
      part.parameters.push_back({"formula", formula});
    }
    part.parameters.push_back({"fitted", fitted});
    part.parameters.push_back({"standard_error", error * expected});
    candidate.parts.push_back(std::move(part));
    candidate.parts.insert(candidate.parts.end(), more.begin(), more.end());
    candidate.cost = cost;
    candidates.push_back(std::move(candidate));
  };
  double order = 0.0;
  for (const auto& named : scale_candidates(context.expectation)) {
    if (std::abs(std::log(named.value / fitted)) < std::max(2e-2, 6.0 * error / ratio)) {
      make(named.id, named.value, named.formula, 1.0 + order);
      order += 0.01; // Equal values stay in the order of the table.
    }
  }
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
  candidate.parts.push_back({std::move(id), std::move(parameters), std::move(evidence)});
  return candidate;
}

void propose_scales(const Context& context, FitSource source, std::vector<Candidate>& candidates) {
  for (const double start :
       scale_starts(context.predictor, context.reference, context.probe, source)) {
    const auto fit = fit_factors(context.predictor, context.reference, context.fit, source,
                                 along_scale(), {start, start, 1.0});
    if (fit && fit->factors.nope > 0.0) {
      name_scale(context, fit->factors.nope, fit->standard_errors[0], source, {}, {}, candidates);
    }
  }
  // At the expected scale the score knows a good fit from a bad one; the scan need not find it.
  const auto fit = fit_factors(context.predictor, context.reference, context.fit, source,
                               along_scale(), {});
  if (fit && fit->factors.nope > 0.0) {
    name_scale(context, fit->factors.nope, fit->standard_errors[0], source, {}, {}, candidates);
  }
}

void propose_rope_magnitude(const Context& context, FitSource source,
                            std::vector<Candidate>& candidates) {
  const auto add = [&](double rope, double error, double cost) {
    candidates.push_back(one(
        context, {1.0, rope, 1.0}, cost, "rope.magnitude",
        {{"ratio", rope}, {"cos_sin_factor", std::sqrt(std::abs(rope))}},
        fmt::format("rope part of the logits times {:.6g}{}, nope part as expected", rope,
                    error > 0.0 ? fmt::format(" ± {:.1g}", error) : "")));
  };
  const double g2 = context.expectation.mscale * context.expectation.mscale;
  for (const double start : {1.0, g2, 1.0 / g2, 2.0, 0.5}) {
    const auto fit = fit_factors(context.predictor, context.reference, context.fit, source,
                                 along_rope(), {1.0, start, 1.0});
    if (fit && fit->converged) {
      add(fit->factors.rope, fit->standard_errors[0], 1.0 + k_cost_of_number);
      for (const double exact : {g2, 1.0 / g2, g2 * g2}) {
        if (std::abs(exact / fit->factors.rope - 1.0) < 5e-3 && std::abs(exact - 1.0) > 1e-6) {
          add(exact, fit->standard_errors[0], 1.5);
        }
      }
    }
    if (start == 1.0 && g2 == 1.0) {
      break;
    }
  }
}

void propose_gains(const Context& context, std::vector<Candidate>& candidates) {
  const auto gain = fit_factors(context.predictor, context.reference, context.fit, FitSource::out,
                                along_gain(), {});
  if (gain) {
    candidates.push_back(one(context, gain->factors, 1.0 + k_cost_of_number, "value.gain",
                             {{"gain", gain->factors.gain}},
                             fmt::format("out is {:.6g} ± {:.1g} times the expected, in every row",
                                         gain->factors.gain, gain->standard_errors[0])));
  }
  for (const double start : {0.25, 0.5, 1.0, 2.0, 4.0, gain ? gain->factors.gain : 1.0}) {
    const auto fit = fit_factors(context.predictor, context.reference, context.fit, FitSource::out,
                                 along_latent(), {start, 1.0, start});
    if (fit && fit->converged && fit->factors.gain > 0.0) {
      candidates.push_back(
          one(context, fit->factors, 1.2 + k_cost_of_number, "latent.gain",
              {{"gain", fit->factors.gain}},
              fmt::format("nope part of the logits and out both {:.6g} ± {:.1g} times the expected",
                          fit->factors.gain, fit->standard_errors[0])));
    }
  }
}

/// Two and three factors at once, named by which of them moved.
void propose_mixed(const Context& context, FitSource source, std::vector<Candidate>& candidates) {
  const bool out = source == FitSource::out;
  const auto starts = scale_starts(context.predictor, context.reference, context.probe, source);
  const auto keys_only = fit_factors(context.predictor, context.reference, context.fit, source,
                                     along_nope(), {});
  if (keys_only && keys_only->factors.nope > 0.0) {
    candidates.push_back(
        one(context, keys_only->factors, 1.5 + k_cost_of_number, "latent.gain",
            {{"gain", keys_only->factors.nope}, {"side", std::string("keys")}},
            fmt::format("nope part of the logits {:.6g} ± {:.1g} times the expected, rope part and "
                        "values as expected",
                        keys_only->factors.nope, keys_only->standard_errors[0])));
  }
  std::vector<Factors> begins;
  for (const double start : starts) {
    begins.push_back({start, start, 1.0});
  }
  begins.push_back({1.0, 1.0, 1.0});
  begins.push_back({1.0, 0.0, 1.0});
  begins.push_back({0.0, 1.0, 1.0});
  for (const auto& begin : begins) {
    const auto fit = fit_factors(context.predictor, context.reference, context.fit, source,
                                 along_nope_and_rope(), begin);
    if (!fit || !(fit->factors.nope > 0.0)) {
      continue;
    }
    const double ratio = fit->factors.rope / fit->factors.nope;
    const Part magnitude{"rope.magnitude", {{"ratio", ratio}},
                         fmt::format("rope part of the logits times {:.6g} of the nope part", ratio)};
    const std::size_t before = candidates.size();
    name_scale(context, fit->factors.nope, fit->standard_errors[0], source, {1.0, ratio, 1.0},
               {magnitude}, candidates);
    for (std::size_t at = before; at < candidates.size(); ++at) {
      candidates[at].cost += 3.0 + k_cost_of_number;
    }
  }
  if (!out) {
    return;
  }
  begins.pop_back();
  begins.pop_back();
  for (const auto& begin : begins) {
    const auto fit = fit_factors(context.predictor, context.reference, context.fit, source,
                                 along_scale_and_gain(), begin);
    if (fit && fit->factors.nope > 0.0) {
      const Part gain{"value.gain", {{"gain", fit->factors.gain}},
                      fmt::format("out times {:.6g}", fit->factors.gain)};
      const std::size_t before = candidates.size();
      name_scale(context, fit->factors.nope, fit->standard_errors[0], source,
                 {1.0, 1.0, fit->factors.gain}, {gain}, candidates);
      for (std::size_t at = before; at < candidates.size(); ++at) {
        candidates[at].cost += 3.0 + k_cost_of_number;
      }
    }
  }
}

} // namespace

void propose_linear(const Context& context, std::vector<Candidate>& candidates) {
  for (const auto source : sources(context)) {
    propose_scales(context, source, candidates);
    propose_rope_magnitude(context, source, candidates);
    propose_mixed(context, source, candidates);
  }
  candidates.push_back(one(context, {1.0, 0.0, 1.0}, 1.0, "rope.dropped", {},
                           "logits of the nope part alone explain the rows"));
  candidates.push_back(one(context, {0.0, 1.0, 1.0}, 1.0, "rope.nope_dropped", {},
                           "logits of the rope part alone explain the rows"));
  if (context.sample.any_out) {
    propose_gains(context, candidates);
  }
}

} // namespace mla_scale::diagnose
