#include <mla_scale/diagnose/choose_rows.hpp>
#include <mla_scale/diagnose/context.hpp>

#include <algorithm>
#include <utility>

namespace mla_scale::diagnose {
namespace {

/// Short rows that are enough to fit a scale and to hold candidates against.
constexpr std::size_t k_enough_short_rows = 12;

/// Up to 40 rows over up to 4 heads, first and last rows of each among them.
std::vector<std::size_t> probe_rows(const Sample& sample, const std::vector<std::size_t>& rows) {
  std::vector<std::int64_t> heads;
  for (const auto index : rows) {
    const auto head = sample.rows[index].head;
    if (heads.empty() || heads.back() != head) {
      heads.push_back(head);
    }
  }
  std::vector<std::size_t> probe;
  const std::size_t most_heads = std::min<std::size_t>(4, heads.size());
  for (std::size_t at = 0; at < most_heads; ++at) {
    const auto head = heads[most_heads == 1 ? 0 : at * (heads.size() - 1) / (most_heads - 1)];
    std::vector<std::size_t> of_head;
    for (const auto index : rows) {
      if (sample.rows[index].head == head) {
        of_head.push_back(index);
      }
    }
    const std::size_t count = std::min<std::size_t>(40 / most_heads, of_head.size());
    for (std::size_t pick = 0; pick < count; ++pick) {
      probe.push_back(
          of_head[count == 1 ? of_head.size() - 1 : pick * (of_head.size() - 1) / (count - 1)]);
    }
  }
  return probe;
}

/// Half of the rows, at most 320; the other half is held out.
std::vector<std::size_t> fit_rows(const std::vector<std::size_t>& rows) {
  std::vector<std::size_t> fit;
  const std::size_t step = std::max<std::size_t>(rows.size() < 64 ? 1 : 2, rows.size() / 320);
  for (std::size_t at = step / 2; at < rows.size(); at += step) {
    fit.push_back(rows[at]);
  }
  return fit;
}

} // namespace

Context make_context(const reference::Problem& problem, const tensor::Capture& capture,
                     const Expectation& expectation, const Sample& sample,
                     const Predictor& predictor, std::vector<std::size_t> rows, double scale_bias) {
  Context context{problem,         capture, expectation, sample, predictor,
                  std::move(rows), {},      {},          {},     scale_bias};
  context.probe = probe_rows(sample, context.rows);
  context.fit = fit_rows(context.rows);
  context.reference.scale = problem.softmax_scale;
  if (!problem.sinks.empty()) {
    context.reference.extra_mass = [&problem](const Row& row) {
      return problem.sinks[static_cast<std::size_t>(row.head)];
    };
    context.reference.lse_counts_extra_mass = false;
  }
  return context;
}

std::optional<Context> on_short_rows(const Context& context) {
  std::vector<std::size_t> rows;
  bool any_long = false;
  for (const std::size_t index : context.rows) {
    const auto visible = static_cast<std::int64_t>(context.sample.rows[index].visible);
    any_long = any_long || visible > k_long_row;
    if (visible <= k_short_row) {
      rows.push_back(index);
    }
  }
  if (!any_long || rows.size() < k_enough_short_rows) {
    return std::nullopt;
  }
  Context brief = context;
  brief.probe = probe_rows(context.sample, rows);
  brief.fit = fit_rows(rows);
  return brief;
}

} // namespace mla_scale::diagnose
