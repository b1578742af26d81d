#include <mla_scale/compare/scale_fit.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

// Two code paths in one row: the cached context attended to with one scale, the new tokens with
// another, and the two merged rightly.

namespace mla_scale::diagnose {

namespace {

using compare::k_many_errors;

/// One of the two phases has another scale: which, and the fit of it.
struct Phase {
  bool in_context;
  std::shared_ptr<const LogitSet> logits; ///< of split_by_phase()
  std::optional<LinearFit> fit;

  [[nodiscard]] const char* name() const { return in_context ? "cached context" : "new tokens"; }
  [[nodiscard]] double ratio() const { return in_context ? fit->factors.nope : fit->factors.rope; }
};

/// The logits with those of the cached context as one part and those of the new tokens as the
/// other, so that a fit of the factor on one part is a fit of the scale of one phase.
std::shared_ptr<const LogitSet> split_by_phase(const Sample& sample) {
  auto split = std::make_shared<LogitSet>(*sample.logits);
  for (const Row& row : sample.rows) {
    for (std::size_t key = 0; key < row.keys; ++key) {
      double& context = split->nope[row.offset + key];
      double& fresh = split->rope[row.offset + key];
      (key < row.prefix ? context : fresh) = context + fresh;
      (key < row.prefix ? fresh : context) = 0.0;
    }
  }
  return split;
}

std::optional<LinearFit> fit_phase(const Context& context, const Phase& phase, FitSource source) {
  Mechanism mechanism = context.reference;
  mechanism.logits = phase.logits;
  const std::vector<Factors> starts{
      {}, phase.in_context ? Factors{.nope = k_far_start} : Factors{.rope = k_far_start}};
  return fit_from_starts(context.predictor, mechanism, context.probe, context.fit, source,
                         phase.in_context ? along_nope() : along_rope(), starts);
}

Candidate scale_of_phase(const Context& context, const Phase& phase, const NamedScale& scale,
                         const std::string& id) {
  const double ratio = scale.softmax_scale / scale.expected;
  Candidate candidate;
  candidate.mechanism = with_factors(
      context.reference, phase.in_context ? Factors{ratio, 1.0, 1.0} : Factors{1.0, ratio, 1.0});
  candidate.mechanism.logits = phase.logits;
  candidate.cost = 2.0 + k_cost_of_scan;
  candidate.effect = std::abs(ratio - 1.0);
  auto parameters = scale_parameters(scale);
  parameters.push_back({"where", std::string(phase.name())});
  const std::string form = scale.formula.empty() ? "" : fmt::format(" ({})", scale.formula);
  candidate.parts.push_back(
      {id, std::move(parameters),
       fmt::format("keys of the {} have scale {:.7g}{}, the others the expected; fitted {:.7g} ± "
                   "{:.1g}{}",
                   phase.name(), scale.softmax_scale, form, scale.fitted->value,
                   scale.fitted->standard_error,
                   engines_that_compute(context.expectation, scale.softmax_scale))});
  return candidate;
}

void name_phase(const Context& context, const Phase& phase, FitSource source,
                std::vector<Candidate>& candidates) {
  constexpr double k_near = 2e-2;
  const double expected = context.reference.scale;
  const double ratio = phase.ratio();
  const double error = std::hypot(phase.fit->standard_errors.front(),
                                  source == FitSource::out ? context.scale_bias : 0.0);
  if (!(ratio > 0.0)
      || std::abs(ratio - 1.0) < std::max(k_smallest_change, k_many_errors * error)) {
    return;
  }
  NamedScale scale{ratio * expected, expected, "", FittedScale{ratio * expected, error * expected}};
  candidates.push_back(scale_of_phase(context, phase, scale, "scale.other"));
  candidates.back().cost += k_cost_of_number;
  candidates.back().distance_error = error / ratio;
  for (const auto& named : scale_candidates(context.expectation)) {
    const double distance = std::abs(std::log(named.value / (ratio * expected)));
    if (distance < std::max(k_near, k_many_errors * error / ratio)) {
      scale.softmax_scale = named.value;
      scale.formula = named.formula;
      candidates.push_back(scale_of_phase(context, phase, scale, named.id));
      candidates.back().distance = distance;
      candidates.back().distance_error = error / ratio;
    }
  }
}

} // namespace

void propose_phases(const Context& context, std::vector<Candidate>& candidates) {
  const bool prefix = std::any_of(context.rows.begin(), context.rows.end(), [&](std::size_t row) {
    return context.sample.rows[row].prefix > 0;
  });
  if (!prefix) {
    return;
  }
  const auto logits = split_by_phase(context.sample);
  std::vector<std::pair<Phase, FitSource>> fits;
  for (const bool in_context : {true, false}) {
    for (const auto source : sources_of(context.sample)) {
      fits.push_back({{in_context, logits, {}}, source});
    }
  }
  parallel_for(fits.size(), threads_of_proposer(context), [&](std::size_t at) {
    auto& [phase, source] = fits[at];
    phase.fit = fit_phase(context, phase, source);
  });
  for (const auto& [phase, source] : fits) {
    if (phase.fit) {
      name_phase(context, phase, source, candidates);
    }
  }
}

} // namespace mla_scale::diagnose
