#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/work_units.hpp>

#include <algorithm>

namespace mla_scale::reference {
namespace {

// Rows of a unit come in multiples of this, which is one of the lanes of each kernel.
constexpr std::int64_t k_row_step = 192;

/// Query rows, over all heads of a unit, that share each tile of keys. A tile costs its conversion,
/// and from the latent rank · (nope + v) multiplications a key. A row costs memory: its query, its
/// average and its output. Fewer where that leaves too few units to keep the threads busy.
///
/// Only expanded units depend on the number of threads: count_cost() of the other forms, which
/// decides what is computed, is to be the same on every machine.
std::int64_t rows_per_unit(const Problem& problem, std::int64_t rows) {
  struct Limits {
    std::int64_t least;
    std::int64_t most;
    std::int64_t wanted_units;
  };
  const auto threads =
      static_cast<std::int64_t>(threads_or_all(static_cast<unsigned>(problem.threads)));
  const Limits limits = problem.form == Form::latent     ? Limits{768, 2304, 16}
                        : problem.form == Form::expanded ? Limits{k_row_step, 768, 8 * threads}
                                                         : Limits{k_row_step, 384, 32};
  const std::int64_t even = (rows / limits.wanted_units + k_row_step) / k_row_step * k_row_step;
  return std::clamp(even, limits.least, limits.most);
}

std::int64_t count_of(std::span<const std::int64_t> values) {
  return static_cast<std::int64_t>(values.size());
}

/// In absorbed form all heads have the same keys. Some units must remain for the other threads.
std::int64_t heads_per_unit(const Problem& problem, std::int64_t heads, std::int64_t rows) {
  if (problem.form != Form::absorbed) {
    return 1;
  }
  const std::int64_t fitting =
      rows_per_unit(problem, rows * heads) / std::max(rows, std::int64_t{1});
  return std::clamp(fitting, std::int64_t{1}, std::max(heads / 4, std::int64_t{1}));
}

/// The rows of each unit, for any one head.
std::vector<Unit> cut_rows(const Problem& problem, std::int64_t heads,
                           std::span<const std::int64_t> rows) {
  std::vector<Unit> pieces;
  const auto limit = static_cast<std::size_t>(rows_per_unit(problem, heads * count_of(rows)));
  for (std::size_t first = 0; first < rows.size();) {
    // A row outside every sequence sees no key.
    Unit piece;
    piece.sequence = problem.sequence_of(rows[first])
                         .value_or(tensor::Sequence{rows[first], rows[first] + 1, 0, 0});
    std::size_t last = first;
    while (last < rows.size() && rows[last] < piece.sequence.query_end && last - first < limit) {
      piece.pairs += static_cast<double>(problem.visible_keys(piece.sequence, rows[last]));
      ++last;
    }
    piece.rows = rows.subspan(first, last - first);
    pieces.push_back(piece);
    first = last;
  }
  return pieces;
}

} // namespace

std::vector<Unit> cut(const Problem& problem, std::span<const std::int64_t> heads,
                      std::span<const std::int64_t> rows) {
  std::vector<Unit> units;
  const std::vector<Unit> pieces = cut_rows(problem, count_of(heads), rows);
  const auto step =
      static_cast<std::size_t>(heads_per_unit(problem, count_of(heads), count_of(rows)));
  for (std::size_t head = 0; head < heads.size(); head += step) {
    for (Unit unit : pieces) {
      unit.heads = heads.subspan(head, std::min(step, heads.size() - head));
      unit.pairs *= static_cast<double>(unit.heads.size());
      units.push_back(unit);
    }
  }
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.pairs > b.pairs; });
  return units;
}

double count_flops(const Problem& problem, std::span<const Unit> units) {
  double sum = 0.0;
  for (const Unit& unit : units) {
    sum += unit.pairs;
  }
  const std::int64_t rank = problem.form == Form::absorbed ? problem.kv_c->width : 0;
  const std::int64_t width = problem.form == Form::absorbed ? 2 * rank + problem.qk_rope_head_dim
                                                            : problem.q.width + problem.v_width();
  return 2.0 * sum * static_cast<double>(width);
}

double count_cost(const Problem& problem, std::span<const Unit> units) {
  double cost = count_flops(problem, units);
  if (problem.form == Form::expanded) {
    return cost;
  }
  const auto weights =
      2.0 * static_cast<double>(problem.kv_c->width * (problem.nope_width() + problem.v_width()));
  for (const Unit& unit : units) {
    const std::int64_t products = problem.form == Form::absorbed
                                      ? count_of(unit.rows)
                                      : problem.visible_keys(unit.sequence, unit.rows.back());
    cost += weights * static_cast<double>(products * count_of(unit.heads));
  }
  return cost;
}

Problem in_cheapest_form(const Problem& problem) {
  if (problem.form != Form::latent) {
    return problem;
  }
  Problem absorbed = problem;
  absorbed.form = Form::absorbed;
  const std::vector<std::int64_t> heads = problem.chosen_heads();
  const std::vector<std::int64_t> rows = problem.chosen_rows();
  const bool cheaper = count_cost(absorbed, cut(absorbed, heads, rows))
                       < count_cost(problem, cut(problem, heads, rows));
  return cheaper ? absorbed : problem;
}

} // namespace mla_scale::reference
