#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>
#include <mla_scale/diagnose/named_scale.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

// A factor on the logits that depends on the query's position.

namespace mla_scale::diagnose {

namespace {

struct Point {
  std::size_t local; ///< place of the row in its sequence
  double position;
  double factor;
  double weight;
};

/// The factor of each of some rows, all its heads together.
std::vector<Point> fit_rows(const Context& context, FitSource source) {
  std::map<std::int64_t, std::vector<std::size_t>> by_row;
  for (const auto index : context.rows) {
    const auto& row = context.sample.rows[index];
    if (row.visible > 2) {
      by_row[row.row].push_back(index);
    }
  }
  std::vector<std::vector<std::size_t>> fitted;
  const std::size_t step = std::max<std::size_t>(1, by_row.size() / 64);
  std::size_t at = 0;
  for (auto& [number, rows] : by_row) {
    if (at++ % step == 0) {
      rows.resize(std::min<std::size_t>(rows.size(), 2));
      fitted.push_back(std::move(rows));
    }
  }
  std::vector<std::optional<LinearFit>> fits(fitted.size());
  parallel_for(fits.size(), threads_of_proposer(context), [&](std::size_t of) {
    fits[of] =
        fit_factors(context.predictor, context.reference, fitted[of], source, along_scale(), {});
  });
  std::vector<Point> points;
  for (std::size_t of = 0; of < fits.size(); ++of) {
    if (const auto& fit = fits[of];
        fit && fit->factors.nope > 0.0 && std::isfinite(fit->standard_errors[0])) {
      const double error = std::max(fit->standard_errors[0], 1e-6);
      const auto& row = context.sample.rows[fitted[of].front()];
      points.push_back({row.local, row.position, fit->factors.nope, 1.0 / (error * error)});
    }
  }
  return points;
}

/// factor = 1 + beta · ln(1 + floor(position / original)).
struct Law {
  double original;
  double beta;
  double misfit;
};

/// \pre some point is at `original` or behind it
Law fit_law(const std::vector<Point>& points, double original) {
  double xx = 0.0;
  double xy = 0.0;
  for (const auto& point : points) {
    const double x = std::log1p(std::floor(point.position / original));
    xx += point.weight * x * x;
    xy += point.weight * x * (point.factor - 1.0);
  }
  Law law{original, xy / xx, 0.0};
  for (const auto& point : points) {
    const double x = std::log1p(std::floor(point.position / original));
    const double error = point.factor - 1.0 - law.beta * x;
    law.misfit += std::log1p(point.weight * error * error);
  }
  return law;
}

/// Up to the largest position.
std::vector<double> lengths(const std::vector<Point>& points) {
  double largest = 0.0;
  for (const auto& point : points) {
    largest = std::max(largest, point.position);
  }
  std::set<double> result;
  for (double length = 1.0; length <= std::min(largest, 4096.0); length += 1.0) {
    result.insert(length);
  }
  for (double length = 8192.0; length <= largest; length *= 2.0) {
    result.insert(length);
  }
  return {result.begin(), result.end()};
}

/// Two levels: factor 1 before `split` of the points, `ratio` from there on.
struct Step {
  std::size_t split;
  double ratio;
  double error; ///< standard error of the ratio
  double misfit;
};

Step step_at(const std::vector<Point>& points, std::size_t split) {
  double sum = 0.0;
  double weights = 0.0;
  for (std::size_t at = split; at < points.size(); ++at) {
    sum += points[at].weight * points[at].factor;
    weights += points[at].weight;
  }
  Step step{split, sum / weights, 1.0 / std::sqrt(weights), 0.0};
  for (std::size_t at = 0; at < points.size(); ++at) {
    const double error = points[at].factor - (at < split ? 1.0 : step.ratio);
    step.misfit += std::log1p(points[at].weight * error * error);
  }
  return step;
}

/// The steps that fit about as well as the best: rows that hardly tell a scale leave some open.
std::vector<Step> likely_steps(const std::vector<Point>& points) {
  constexpr double k_as_likely = 2.0;
  constexpr std::size_t k_most = 8;
  constexpr double k_smallest_step = 5e-3;
  std::vector<Step> steps;
  for (std::size_t split = 1; split < points.size(); ++split) {
    steps.push_back(step_at(points, split));
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.misfit < b.misfit; });
  std::vector<Step> likely;
  for (const Step& step : steps) {
    if (likely.size() < k_most && step.misfit <= steps.front().misfit + k_as_likely
        && std::abs(step.ratio - 1.0) > std::max(k_smallest_step, 6.0 * step.error)) {
      likely.push_back(step);
    }
  }
  return likely;
}

Candidate scale_of_rows(const Context& context, const NamedScale& scale, const std::string& id,
                        std::size_t place, bool later) {
  const double wrong = scale.softmax_scale / scale.expected;
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.temperature = [later, place, wrong](const Row& row) {
    return (row.local >= place) == later ? wrong : 1.0;
  };
  const std::string where =
      later ? fmt::format("rows {} and later", place) : fmt::format("rows before {}", place);
  candidate.cost = 1.5 + k_cost_of_scan;
  auto parameters = scale_parameters(scale);
  parameters.push_back({"where", where});
  candidate.parts.push_back(
      {id, std::move(parameters),
       fmt::format("{} have scale {:.7g} ({}), the others the expected; fitted {:.7g} ± {:.1g}",
                   where, scale.softmax_scale, scale.formula, scale.fitted->value,
                   scale.fitted->standard_error)});
  return candidate;
}

/// Rows from a place on, or before it, that another scale fits: two paths with two scales.
void propose_steps(const Context& context, std::vector<Point> points,
                   std::vector<Candidate>& candidates) {
  constexpr double k_near = 1e-2;
  const double expected = context.reference.scale;
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.local < b.local; });
  const auto named_scales = scale_candidates(context.expectation);
  for (const bool later : {true, false}) {
    if (!later) {
      std::reverse(points.begin(), points.end());
    }
    for (const Step& step : likely_steps(points)) {
      // The change lies between two sampled rows; the rows themselves say where, if they are close.
      const std::size_t here = points[step.split].local;
      const std::size_t before = points[step.split - 1].local;
      for (std::size_t place = std::min(here, before) + 1; place <= std::max(here, before);
           ++place) {
        for (const auto& named : named_scales) {
          if (std::abs(named.value / expected / step.ratio - 1.0) <= k_near) {
            const NamedScale scale{named.value, expected, named.formula,
                                   FittedScale{step.ratio * expected, step.error * expected}};
            candidates.push_back(scale_of_rows(context, scale, named.id, place, later));
          }
        }
      }
    }
  }
}

/// The laws of llama_4_scaling that fit best.
void propose_laws(const Context& context, const std::vector<Point>& points,
                  std::vector<Candidate>& candidates) {
  constexpr std::size_t k_most = 2;
  constexpr double k_smallest_beta = 1e-4;
  std::vector<Law> laws;
  for (const double length : lengths(points)) {
    laws.push_back(fit_law(points, length));
  }
  std::stable_sort(laws.begin(), laws.end(),
                   [](const Law& a, const Law& b) { return a.misfit < b.misfit; });
  for (const Law& law : std::span(laws).first(std::min(laws.size(), k_most))) {
    if (std::abs(law.beta) < k_smallest_beta) {
      continue;
    }
    Candidate candidate;
    candidate.mechanism = context.reference;
    candidate.mechanism.temperature = [law](const Row& row) {
      return 1.0 + law.beta * std::log1p(std::floor(row.position / law.original));
    };
    candidate.cost = 1.0 + k_cost_of_number + k_cost_of_scan;
    candidate.effect = std::abs(law.beta);
    candidate.parts.push_back(
        {"temperature.by_position",
         {{"beta", law.beta}, {"original_length", law.original}},
         fmt::format("logits of the query at position p times 1 + {:.5g} ln(1 + floor(p / {:g}))",
                     law.beta, law.original)});
    candidates.push_back(std::move(candidate));
  }
}

/// Some other law: between the fitted rows by straight lines.
void propose_table(const Context& context, const std::vector<Point>& points,
                   std::vector<Candidate>& candidates) {
  std::map<double, double> table;
  for (const Point& point : points) {
    table[point.position] = point.factor;
  }
  Candidate candidate;
  candidate.mechanism = context.reference;
  candidate.mechanism.temperature = [table](const Row& row) {
    const auto above = table.lower_bound(row.position);
    if (above == table.begin()) {
      return row.position < above->first ? 1.0 : above->second;
    }
    if (above == table.end()) {
      return std::prev(above)->second;
    }
    const auto below = std::prev(above);
    const double share = (row.position - below->first) / (above->first - below->first);
    return below->second + share * (above->second - below->second);
  };
  candidate.cost = 4.0 + k_cost_of_number * static_cast<double>(table.size());
  candidate.parts.push_back({"temperature.by_position",
                             {{"law", std::string("none known")}},
                             fmt::format("a factor on the logits that depends on the row alone, "
                                         "{:.5g} at position {:g} and {:.5g} at position {:g}",
                                         points.front().factor, points.front().position,
                                         points.back().factor, points.back().position)});
  candidates.push_back(std::move(candidate));
}

} // namespace

void propose_temperature(const Context& context, std::vector<Candidate>& candidates) {
  constexpr std::size_t k_fewest_points = 6;
  for (const FitSource source : sources_of(context.sample)) {
    const std::vector<Point> points = fit_rows(context, source);
    if (points.size() >= k_fewest_points) {
      propose_steps(context, points, candidates);
      propose_laws(context, points, candidates);
      propose_table(context, points, candidates);
    }
  }
}

} // namespace mla_scale::diagnose
