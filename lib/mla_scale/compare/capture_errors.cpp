#include <mla_scale/compare/capture_errors.hpp>
#include <mla_scale/core/number.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <span>

namespace mla_scale::compare {
namespace {

/// Sums of one block of rows, to be added in an order that no thread decides.
struct BlockTotals {
  ErrorSums out;
  ErrorSums lse;
  WorstElements worst_out;
  WorstElements worst_lse;
  std::int64_t reference_not_finite = 0;
};

std::size_t place(const std::vector<std::int64_t>& sorted, std::int64_t value) {
  return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value)
                                  - sorted.begin());
}

/// Keys that the rows see.
std::size_t logits_of(const reference::Problem& problem, std::span<const std::int64_t> rows) {
  std::int64_t logits = 0;
  for (const std::int64_t row : rows) {
    const auto sequence = problem.sequence_of(row);
    logits += sequence ? problem.visible_keys(*sequence, row) : 0;
  }
  return static_cast<std::size_t>(logits);
}

/// Compares blocks as they come. Each (head, row) has its own slot, so threads do not meet.
class Comparer {
public:
  Comparer(const tensor::Capture& capture, CaptureErrors& errors)
      : m_capture(capture), m_errors(errors),
        m_lse_unit(capture.lse_base == tensor::LseBase::two ? std::log(2.0) : 1.0) {}

  void compare(const reference::OutputBlock& block) {
    BlockTotals totals;
    const std::size_t head = place(m_errors.heads, block.head);
    const std::size_t first = place(m_errors.rows, block.rows.front());
    const std::size_t width = block.out.size() / block.rows.size();
    std::vector<double> captured(width);
    for (std::size_t i = 0; i < block.rows.size(); ++i) {
      const std::size_t slot = m_errors.slot(head, first + i);
      const std::int64_t row = block.rows[i];
      m_errors.reference_lse[slot] = block.lse[i];
      if (block.lse[i] == -k_infinity) {
        continue;
      }
      const std::span<const double> expected = block.out.subspan(i * width, width);
      const bool finite = std::isfinite(block.lse[i])
                          && std::all_of(expected.begin(), expected.end(),
                                         [](double x) { return std::isfinite(x); });
      if (!finite) {
        ++totals.reference_not_finite;
        continue;
      }
      if (m_capture.out) {
        m_capture.out->read(row, block.head, 0, static_cast<std::int64_t>(width), captured.data());
        compare_out(slot, row, block.head, captured, expected, totals);
      }
      if (m_capture.lse) {
        const double got = m_lse_unit * m_capture.lse->at(row, block.head, 0);
        compare_lse(slot, row, block.head, got, block.lse[i], totals);
      }
    }
    const std::lock_guard lock(m_mutex);
    m_totals.emplace(std::pair(block.head, block.rows.front()), std::move(totals));
  }

  void finish() {
    for (const auto& [key, totals] : m_totals) {
      m_errors.out.sums += totals.out;
      m_errors.lse.sums += totals.lse;
      m_errors.reference_not_finite += totals.reference_not_finite;
      for (const ElementDifference& element : totals.worst_out.elements) {
        m_errors.out.worst.add(element);
      }
      for (const ElementDifference& element : totals.worst_lse.elements) {
        m_errors.lse.worst.add(element);
      }
    }
  }

private:
  void compare_out(std::size_t slot, std::int64_t row, std::int64_t head,
                   std::span<const double> got, std::span<const double> expected,
                   BlockTotals& totals) {
    RowError error;
    double bias = 0.0;
    for (std::size_t c = 0; c < got.size(); ++c) {
      error.add(static_cast<std::int64_t>(c), got[c], expected[c]);
      bias += (got[c] - expected[c]) * expected[c];
    }
    const double squared = error.sums.expected_squared;
    if (!error.sums.finite()) {
      m_errors.out.error[slot] = k_infinity;
    } else if (squared > 0.0) {
      m_errors.out.error[slot] = std::sqrt(error.sums.error_squared / squared);
      m_errors.out.bias[slot] = bias / squared;
    } else {
      m_errors.out.error[slot] = error.sums.error_squared > 0.0 ? k_infinity : 0.0;
    }
    const double rms = std::sqrt(squared / static_cast<double>(got.size()));
    error.sums.max_rel = error.sums.max_abs == 0.0
                             ? 0.0
                             : error.sums.max_abs / std::max(std::abs(error.worst_expected), rms);
    totals.worst_out.add({{row, head, error.worst_column}, error.worst_got, error.worst_expected});
    totals.out += error.sums;
  }

  void compare_lse(std::size_t slot, std::int64_t row, std::int64_t head, double got,
                   double expected, BlockTotals& totals) {
    RowError error;
    error.add(0, got, expected);
    m_errors.lse.error[slot] = error.sums.finite() ? std::abs(got - expected) : k_infinity;
    m_errors.lse.bias[slot] = error.sums.finite() ? got - expected : 0.0;
    error.sums.max_rel = error.sums.max_abs / std::max(std::abs(expected), 1.0);
    totals.worst_lse.add({{row, head, 0}, got, expected});
    totals.lse += error.sums;
  }

  const tensor::Capture& m_capture;
  CaptureErrors& m_errors;
  double m_lse_unit;
  std::mutex m_mutex;
  std::map<std::pair<std::int64_t, std::int64_t>, BlockTotals> m_totals;
};

} // namespace

Result<CaptureErrors> collect_errors(const reference::Problem& problem,
                                     const tensor::Capture& capture, const Progress& progress) {
  if (const auto valid = reference::validate(problem); !valid) {
    return valid.error();
  }
  CaptureErrors errors;
  errors.heads = problem.chosen_heads();
  errors.rows = problem.chosen_rows();
  const std::size_t slots = errors.heads.size() * errors.rows.size();
  errors.out.present = capture.out.has_value();
  errors.lse.present = capture.lse.has_value();
  for (TensorErrors* tensor : {&errors.out, &errors.lse}) {
    if (tensor->present) {
      tensor->error.assign(slots, -1.0);
      tensor->bias.assign(slots, 0.0);
    }
  }
  errors.reference_lse.assign(slots, -k_infinity);
  Comparer comparer(capture, errors);
  const std::size_t total = errors.heads.size() * logits_of(problem, errors.rows);
  std::atomic<std::size_t> done = 0;
  const auto work = reference::attend(
      problem, [&](const reference::OutputBlock& block) { comparer.compare(block); },
      [&](double pairs) {
        if (progress) {
          const auto logits = static_cast<std::size_t>(pairs);
          progress(done.fetch_add(logits) + logits, total);
        }
      });
  if (!work) {
    return work.error();
  }
  comparer.finish();
  errors.work = *work;
  return errors;
}

} // namespace mla_scale::compare
