#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/linear_fit.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

// A factor on the logits that depends on the query's position.

namespace mla_scale::diagnose {

namespace {

struct Point {
  std::size_t local = 0; ///< place of the row in its sequence
  double position = 0.0;
  double factor = 0.0;
  double weight = 0.0;
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
  std::vector<Point> points;
  const std::size_t step = std::max<std::size_t>(1, by_row.size() / 64);
  std::size_t at = 0;
  for (auto& [number, rows] : by_row) {
    if (at++ % step != 0) {
      continue;
    }
    if (rows.size() > 2) {
      rows.resize(2);
    }
    const auto fit =
        fit_factors(context.predictor, context.reference, rows, source, along_scale(), {});
    if (fit && fit->factors.nope > 0.0) {
      const double error = std::max(fit->standard_errors[0], 1e-6);
      const auto& row = context.sample.rows[rows.front()];
      points.push_back({row.local, row.position, fit->factors.nope, 1.0 / (error * error)});
    }
  }
  return points;
}

/// factor = level · (1 + beta · x) with x = ln(1 + floor(position / original)): a line in x.
struct Law {
  double beta = 0.0;
  double original = 0.0;
  double level = 1.0;
  double misfit = std::numeric_limits<double>::infinity();
};

Law fit_law(const std::vector<Point>& points, double original) {
  Law law;
  law.original = original;
  double xx = 0.0;
  double xy = 0.0;
  for (const auto& point : points) {
    const double x = std::log1p(std::floor(point.position / original));
    xx += point.weight * x * x;
    xy += point.weight * x * (point.factor - 1.0);
  }
  if (!(xx > 0.0)) {
    return law;
  }
  law.beta = xy / xx;
  law.misfit = 0.0;
  for (const auto& point : points) {
    const double x = std::log1p(std::floor(point.position / original));
    const double error = point.factor - 1.0 - law.beta * x;
    law.misfit += std::log1p(point.weight * error * error);
  }
  return law;
}

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

/// Rows from a place on, or before it, that another scale fits: two paths with two scales.
void propose_steps(const Context& context, std::vector<Point> points,
                   std::vector<Candidate>& candidates) {
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.local < b.local; });
  const auto differs = [](const Point& point) {
    return std::abs(point.factor - 1.0) > std::max(5e-3, 6.0 / std::sqrt(point.weight));
  };
  for (const bool later : {true, false}) {
    if (!later) {
      std::reverse(points.begin(), points.end());
    }
    const auto first = std::find_if(points.begin(), points.end(), differs);
    if (first == points.begin() || first == points.end()
        || !std::all_of(first, points.end(), differs)) {
      continue;
    }
    double sum = 0.0;
    double weights = 0.0;
    for (auto point = first; point != points.end(); ++point) {
      sum += point->weight * point->factor;
      weights += point->weight;
    }
    const double ratio = sum / weights;
    // The change lies between two sampled rows; the rows themselves say where, if they are close.
    for (std::size_t place = std::min(first->local, std::prev(first)->local) + 1;
         place <= std::max(first->local, std::prev(first)->local); ++place) {
      for (const auto& named : scale_candidates(context.expectation)) {
        const double wrong = named.value / context.reference.scale;
        if (std::abs(wrong / ratio - 1.0) > 1e-2) {
          continue;
        }
        Candidate candidate;
        candidate.mechanism = context.reference;
        candidate.mechanism.temperature = [later, place, wrong](const Row& row) {
          return (row.local >= place) == later ? wrong : 1.0;
        };
        const std::string where =
            later ? fmt::format("rows {} and later", place) : fmt::format("rows before {}", place);
        candidate.cost = 1.5 + k_cost_of_scan;
        candidate.parts.push_back({named.id,
                                   {{"softmax_scale", named.value},
                                    {"expected", context.reference.scale},
                                    {"ratio", wrong},
                                    {"formula", named.formula},
                                    {"where", where}},
                                   fmt::format("{} have scale {:.7g} ({}), the others the expected",
                                               where, named.value, named.formula)});
        candidates.push_back(std::move(candidate));
      }
    }
  }
}

} // namespace

void propose_temperature(const Context& context, std::vector<Candidate>& candidates) {
  const auto source = context.sample.any_lse ? FitSource::lse : FitSource::out;
  const auto propose_from = [&](FitSource from) {
    const auto points = fit_rows(context, from);
    if (points.size() < 6) {
      return;
    }
    propose_steps(context, points, candidates);
    std::vector<Law> laws;
    for (const double length : lengths(points)) {
      laws.push_back(fit_law(points, length));
    }
    std::stable_sort(laws.begin(), laws.end(),
                     [](const Law& a, const Law& b) { return a.misfit < b.misfit; });
    for (std::size_t at = 0; at < laws.size() && at < 2; ++at) {
      const auto law = laws[at];
      if (!std::isfinite(law.misfit) || std::abs(law.beta) < 1e-4) {
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
    // Some other law: between the fitted rows by straight lines.
    std::map<double, double> table;
    for (const auto& point : points) {
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
  };
  propose_from(source);
  if (source == FitSource::lse && context.sample.any_out) {
    propose_from(FitSource::out);
  }
}

} // namespace mla_scale::diagnose
