#include <mla_scale/check/automatic_rows.hpp>
#include <mla_scale/reference/work_units.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::check {
namespace {

constexpr std::int64_t k_least_random = 64;
constexpr std::int64_t k_most_random = 2048;
constexpr std::int64_t k_smallest_page = 16;
constexpr std::size_t k_most_sequences = 32; // whose ends and boundaries are always in

/// Steele, Lea and Flood's SplitMix64: a fixed sequence, so that the same capture gives the same
/// report.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

/// The ends of a sequence and the rows on both sides of each boundary, counted in keys.
void add_boundaries(const tensor::Sequence& sequence, std::vector<std::int64_t>& rows) {
  const std::int64_t keys = sequence.key_end - sequence.key_begin;
  const std::int64_t queries = sequence.query_end - sequence.query_begin;
  const auto add = [&](std::int64_t key) {
    const std::int64_t query = key - (keys - queries); // bottom-right aligned
    if (query >= 0 && query < queries) {
      rows.push_back(sequence.query_begin + query);
    }
  };
  add(keys - queries);
  add(keys - queries + 1);
  add(keys - 1);
  for (std::int64_t page = k_smallest_page; page < keys; page *= 2) {
    // The first boundary of this size, and the last.
    for (const std::int64_t boundary : {page, (keys - 1) / page * page}) {
      add(boundary - 1);
      add(boundary);
    }
  }
}

/// Rows of average length that a budget pays for in the problem's form. In latent form the keys
/// must be expanded first, whatever the rows.
double rows_in_form(const reference::Problem& problem, double budget) {
  const std::vector<std::int64_t> heads = problem.chosen_heads();
  const std::vector<std::int64_t> rows = problem.chosen_rows();
  const std::vector<reference::Unit> units = reference::cut(problem, heads, rows);
  const double pairs = reference::count_flops(problem, units);
  double of_rows = reference::count_cost(problem, units);
  if (problem.form == reference::Form::latent) {
    of_rows = pairs;
    for (const tensor::Sequence& sequence : problem.sequences) {
      const auto keys = static_cast<double>(sequence.key_end - sequence.key_begin);
      budget -= 2.0 * keys * static_cast<double>(problem.kv_c->width)
                * static_cast<double>(problem.nope_width() + problem.v_width())
                * static_cast<double>(heads.size());
    }
  }
  return budget * static_cast<double>(rows.size()) / std::max(of_rows, 1.0);
}

double affordable_rows(const reference::Problem& problem, double budget) {
  const double rows = rows_in_form(problem, budget);
  if (problem.form != reference::Form::latent) {
    return rows;
  }
  reference::Problem absorbed = problem;
  absorbed.form = reference::Form::absorbed;
  return std::max(rows, rows_in_form(absorbed, budget));
}

} // namespace

double AutomaticRows::catches(double share) const {
  return 1.0 - std::pow(1.0 - share, static_cast<double>(random));
}

double cost_of(const reference::Problem& problem) {
  const reference::Problem cheapest = reference::in_cheapest_form(problem);
  const std::vector<std::int64_t> heads = problem.chosen_heads();
  const std::vector<std::int64_t> rows = problem.chosen_rows();
  return reference::count_cost(cheapest, reference::cut(cheapest, heads, rows));
}

AutomaticRows automatic_rows(const reference::Problem& problem, double budget) {
  AutomaticRows chosen;
  const std::int64_t all = problem.q.tokens;
  const double affordable =
      std::min(affordable_rows(problem, budget), static_cast<double>(k_most_random));
  chosen.random = std::min(all, std::max(k_least_random, static_cast<std::int64_t>(affordable)));
  // One row from each of equal parts misses an error no more often than rows drawn freely do: the
  // geometric mean of the parts' healthy shares is at most their arithmetic mean.
  for (std::int64_t part = 0; part < chosen.random; ++part) {
    const std::int64_t begin = all * part / chosen.random;
    const std::int64_t count = all * (part + 1) / chosen.random - begin;
    const std::uint64_t number = mixed(static_cast<std::uint64_t>(part));
    chosen.rows.push_back(begin
                          + static_cast<std::int64_t>(number % static_cast<std::uint64_t>(count)));
  }
  const std::size_t sequences = std::min(problem.sequences.size(), k_most_sequences);
  for (std::size_t i = 0; i < sequences; ++i) {
    add_boundaries(problem.sequences[i * problem.sequences.size() / sequences], chosen.rows);
  }
  std::sort(chosen.rows.begin(), chosen.rows.end());
  chosen.rows.erase(std::unique(chosen.rows.begin(), chosen.rows.end()), chosen.rows.end());
  return chosen;
}

std::string describe(const AutomaticRows& chosen, std::int64_t all) {
  constexpr double k_share = 0.01;
  constexpr double k_most = 0.999; // never rounded to a certainty
  return fmt::format(
      "{} of {} query rows were computed, {} of them at random: an error in {:.0f} % "
      "of the rows touches one of them with a probability of {:.3g} or more",
      chosen.rows.size(), all, chosen.random, 100 * k_share,
      std::min(chosen.catches(k_share), k_most));
}

} // namespace mla_scale::check
