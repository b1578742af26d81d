#include <mla_scale/compare/clustered_error.hpp>
#include <mla_scale/compare/level_test.hpp>
#include <mla_scale/compare/recipe.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/reference/key_blocks.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace mla_scale::compare {
namespace {

// A healthy kernel's error differs from a simulation of it by up to 15 % a head and 20 % a row on
// the kernels that were measured (flash, cudnn, efficient and eager SDPA on an H100); eager kernels
// that round at other places than ours differ by up to 2 a row.
constexpr double k_group_ratio = 1.5;
constexpr double k_group_spread = 2.5; // over sqrt(rows): few rows say less
constexpr double k_row_ratio = 4.0;
constexpr double k_lse_row_ratio = 6.0; // of levels that round logits: one number a row, with tails
constexpr double k_standard_errors = 6.0;
constexpr double k_cut_errors = 4.0;
constexpr double k_gain_share = 0.1;    // of the floor: bias that rounding itself leaves
constexpr double k_coarse_share = 0.02; // its floor is wide, and what it rounds last sums to 1
constexpr double k_sum_bias = 2e-6;     // float32 sums on tensor cores lean to one side
constexpr std::int64_t k_enough_samples = 8;
constexpr std::size_t k_simulated_again = 512; // suspicious rows whose own floor is computed
constexpr double k_explained = 0.1;            // residual of a fit over the error before it
constexpr std::size_t k_listed_groups = 4;
constexpr double k_few_rows_noise = 4.0; // the columns of a row share the noise of its weights

double median(std::vector<double> values) {
  if (values.empty()) {
    return 0.0;
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) {
    sum += value;
  }
  return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

/// Infinite where nothing may be off and something is, and where the floor is no number.
double ratio_of(double error, double floor) {
  return error == 0.0 ? 0.0 : std::isnan(floor) ? k_infinity : error / floor;
}

/// Root mean square of what was added.
struct MeanSquare {
  double sum = 0.0;
  std::int64_t count = 0;
  std::int64_t not_finite = 0; // not in the mean

  void add(double value) {
    if (!std::isfinite(value)) {
      ++not_finite;
      return;
    }
    sum += value * value;
    ++count;
  }
  MeanSquare& operator+=(const MeanSquare& other) {
    sum += other.sum;
    count += other.count;
    not_finite += other.not_finite;
    return *this;
  }
  [[nodiscard]] double root() const {
    return count > 0 ? std::sqrt(sum / static_cast<double>(count)) : 0.0;
  }
};

double root_mean_square(const std::vector<double>& values) {
  MeanSquare mean;
  for (const double value : values) {
    mean.add(value);
  }
  return mean.root();
}

/// One tensor (out or lse) under the tests of one level.
class TensorTest {
public:
  /// `bias`: what rounding probabilities may do to all rows alike; `expected_bias`: what it does.
  TensorTest(const Evidence& evidence, const TensorErrors& errors,
             const std::vector<double>& floors, bool is_lse, Level level, double bias,
             double expected_bias, TensorComparison& result)
      : m_evidence(evidence), m_errors(errors), m_floors(floors), m_is_lse(is_lse), m_level(level),
        m_bias(bias), m_expected_bias(expected_bias), m_result(result),
        m_heads(evidence.errors.heads.size()), m_rows(evidence.errors.rows.size()),
        m_buckets(evidence.buckets.count()), m_cell_floor(m_heads * m_buckets),
        m_cell_error(m_heads * m_buckets), m_bad_cell(m_heads * m_buckets, false) {}

  void run() {
    collect_floors();
    each_row([&](const ErrorOfRow& row) { m_cell_error[row.cell].add(row.error); });
    test_rows();
    test_groups();
    test_bias();
  }

private:
  struct ErrorOfRow {
    HeadRow row;
    std::size_t cell;
    double error;
    double floor;
  };

  [[nodiscard]] std::size_t cell(std::size_t head, std::size_t bucket) const {
    return head * m_buckets + bucket;
  }
  /// Every row that sees a key, head after head.
  template <typename Body>
  void each_row(const Body& body) const {
    for (std::size_t h = 0; h < m_heads; ++h) {
      for (std::size_t r = 0; r < m_rows; ++r) {
        if (const double error = m_errors.error[m_evidence.errors.slot(h, r)]; error >= 0.0) {
          const std::int64_t row = m_evidence.errors.rows[r];
          const std::size_t bucket = m_evidence.buckets.bucket_of(row);
          body(ErrorOfRow{{m_evidence.errors.heads[h], row},
                          cell(h, bucket),
                          error,
                          m_floor_of[cell(h, bucket)]});
        }
      }
    }
  }

  void collect_floors();
  void test_rows();
  void take_own_floors(std::vector<ErrorOfRow>& suspects) const;
  void test_groups();
  void test_bias();
  [[nodiscard]] double row_ratio() const {
    return m_is_lse && changes_lse(m_level) ? k_lse_row_ratio : k_row_ratio;
  }
  [[nodiscard]] bool is_bad(const ErrorOfRow& row) const {
    return row.error > row_ratio() * row.floor + bias();
  }
  /// The bias; of lse where probabilities are what is summed.
  [[nodiscard]] double bias() const {
    return !m_is_lse || m_level == Level::rounded_sum ? m_bias : 0.0;
  }
  [[nodiscard]] double floor_of(std::size_t head, std::size_t bucket) const;
  [[nodiscard]] GroupError group(const std::vector<std::size_t>& cells) const;
  void name_groups(const std::vector<GroupError>& groups, std::string_view what);
  void fail(std::string reason) { m_result.reasons.push_back(std::move(reason)); }

  const Evidence& m_evidence;
  const TensorErrors& m_errors;
  const std::vector<double>& m_floors; // of the evidence's samples
  bool m_is_lse;
  Level m_level;
  double m_bias;
  double m_expected_bias;
  TensorComparison& m_result;
  std::size_t m_heads;
  std::size_t m_rows;
  std::size_t m_buckets;
  std::vector<MeanSquare> m_cell_floor;
  std::vector<MeanSquare> m_cell_error;
  std::vector<bool> m_bad_cell;
  MeanSquare m_floor;
  std::vector<double> m_floor_of; // cells
};

void TensorTest::collect_floors() {
  const auto& heads = m_evidence.errors.heads;
  for (std::size_t i = 0; i < m_evidence.samples.size(); ++i) {
    const RowSample& sample = m_evidence.samples[i];
    const auto head = static_cast<std::size_t>(
        std::lower_bound(heads.begin(), heads.end(), sample.head) - heads.begin());
    const std::size_t bucket = m_evidence.buckets.bucket_of(sample.row);
    m_cell_floor[cell(head, bucket)].add(m_floors[i]);
    m_floor.add(m_floors[i]);
  }
  for (std::size_t h = 0; h < m_heads; ++h) {
    for (std::size_t b = 0; b < m_buckets; ++b) {
      m_floor_of.push_back(floor_of(h, b));
    }
  }
}

/// A cell with few samples may be small by luck, one without any says nothing: such a cell takes
/// what its position has in all heads, else what everything has.
double TensorTest::floor_of(std::size_t head, std::size_t bucket) const {
  const MeanSquare& here = m_cell_floor[cell(head, bucket)];
  if (m_is_lse && changes_lse(m_level)) {
    // One number a row, near by luck here and far there: all rows say what is usual.
    return std::max(here.root(), m_floor.root());
  }
  if (here.count >= k_enough_samples) {
    return here.root();
  }
  MeanSquare position;
  for (std::size_t h = 0; h < m_heads; ++h) {
    position += m_cell_floor[cell(h, bucket)];
  }
  return position.count > 0 ? std::max(here.root(), position.root()) : m_floor.root();
}

void TensorTest::test_rows() {
  std::vector<ErrorOfRow> bad;
  each_row([&](const ErrorOfRow& row) {
    if (is_bad(row)) {
      bad.push_back(row);
    }
  });
  if (bad.empty()) {
    return;
  }
  take_own_floors(bad);
  std::erase_if(bad, [this](const ErrorOfRow& row) { return !is_bad(row); });
  if (bad.empty()) {
    return;
  }
  for (const ErrorOfRow& row : bad) {
    m_bad_cell[row.cell] = true;
  }
  const auto worst =
      std::max_element(bad.begin(), bad.end(), [](const ErrorOfRow& a, const ErrorOfRow& b) {
        return a.error / a.floor < b.error / b.floor;
      });
  const double ratio = worst->error / worst->floor;
  if (std::isfinite(ratio)) {
    m_result.floor_ratio = ratio;
  }
  fail(fmt::format("{} of {} rows are off by more than {:g} floors; worst: row {} of head {}, {}",
                   bad.size(), m_heads * m_rows, row_ratio(), worst->row.second, worst->row.first,
                   std::isinf(worst->error) ? std::string("not finite")
                                            : fmt::format("{:.3g} floors", ratio)));
}

/// Rows whose output nearly cancels have a floor of their own. Sorts them, the worst first.
void TensorTest::take_own_floors(std::vector<ErrorOfRow>& suspects) const {
  std::stable_sort(suspects.begin(), suspects.end(), [](const ErrorOfRow& a, const ErrorOfRow& b) {
    return a.error / a.floor > b.error / b.floor;
  });
  // Of a large capture that would mean to read it again: so many are wrong whatever their floor.
  if (suspects.size() > k_simulated_again && reference::is_large(m_evidence.problem)) {
    return;
  }
  std::vector<HeadRow> rows;
  for (const ErrorOfRow& suspect :
       std::span(suspects).first(std::min(suspects.size(), k_simulated_again))) {
    rows.push_back(suspect.row);
  }
  rows = within_memory(m_evidence.problem, std::move(rows));
  std::sort(rows.begin(), rows.end());
  const std::vector<RowFloor> own =
      simulate_floors(m_evidence.problem, sample_logits(m_evidence.problem, rows), {m_level},
                      m_evidence.dtypes)
          .front();
  for (ErrorOfRow& suspect : suspects) {
    if (const auto found = std::lower_bound(rows.begin(), rows.end(), suspect.row);
        found != rows.end() && *found == suspect.row) {
      const RowFloor& floor = own[static_cast<std::size_t>(found - rows.begin())];
      suspect.floor = std::max(suspect.floor, m_is_lse ? floor.lse : floor.out);
    }
  }
}

GroupError TensorTest::group(const std::vector<std::size_t>& cells) const {
  MeanSquare error;
  double floor_squared = 0.0;
  GroupError result;
  for (const std::size_t c : cells) {
    error += m_cell_error[c];
    floor_squared += m_floor_of[c] * m_floor_of[c] * static_cast<double>(m_cell_error[c].count);
    result.bad = result.bad || m_bad_cell[c];
  }
  result.not_finite = error.not_finite;
  result.bad = result.bad || error.not_finite > 0;
  if (error.count == 0) {
    return result;
  }
  result.relative_rms = error.root();
  result.floor = std::sqrt(floor_squared / static_cast<double>(error.count));
  result.floor_ratio = ratio_of(result.relative_rms, result.floor);
  const double allowed =
      k_group_ratio + k_group_spread / std::sqrt(static_cast<double>(error.count));
  result.bad = result.bad || result.relative_rms > allowed * result.floor + bias();
  return result;
}

void TensorTest::name_groups(const std::vector<GroupError>& groups, std::string_view what) {
  std::string names;
  std::size_t bad = 0;
  double worst = 0.0;
  for (const GroupError& one : groups) {
    if (!one.bad) {
      continue;
    }
    if (bad++ < k_listed_groups) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", one.first);
      names += one.last > one.first ? fmt::format("-{}", one.last) : "";
    }
    worst = std::max(worst, one.floor_ratio);
  }
  if (bad > 0) {
    fail(fmt::format("{} of {} {}s exceed the floor ({}{}), the worst {:.3g} times", bad,
                     groups.size(), what, names, bad > k_listed_groups ? ", ..." : "", worst));
  }
}

void TensorTest::test_groups() {
  m_result.map.assign(m_heads * m_buckets, -1.0);
  std::size_t bad_cells = 0;
  for (std::size_t h = 0; h < m_heads; ++h) {
    std::vector<std::size_t> cells;
    for (std::size_t b = 0; b < m_buckets; ++b) {
      const GroupError one = group({cell(h, b)});
      if (one.not_finite > 0) {
        m_result.map[cell(h, b)] = k_infinity;
      } else if (m_cell_error[cell(h, b)].count > 0) {
        m_result.map[cell(h, b)] = one.floor_ratio;
        m_result.floor_ratio = std::max(m_result.floor_ratio, one.floor_ratio);
      }
      bad_cells += one.bad ? 1 : 0;
      cells.push_back(cell(h, b));
    }
    GroupError whole = group(cells);
    whole.first = whole.last = m_evidence.errors.heads[h];
    m_result.by_head.push_back(whole);
  }
  for (std::size_t b = 0; b < m_buckets; ++b) {
    std::vector<std::size_t> cells;
    for (std::size_t h = 0; h < m_heads; ++h) {
      cells.push_back(cell(h, b));
    }
    GroupError whole = group(cells);
    whole.first = m_evidence.buckets.first(b);
    whole.last = m_evidence.buckets.last(b);
    m_result.by_position.push_back(whole);
  }
  name_groups(m_result.by_head, "head");
  name_groups(m_result.by_position, "position range");
  if (bad_cells > 0 && m_result.reasons.empty()) {
    fail(fmt::format("{} of {} (head, position range) cells exceed the floor", bad_cells,
                     m_heads * m_buckets));
  }
}

void TensorTest::test_bias() {
  // Rounding has no direction: over many rows its projection on the output averages out.
  const bool leans = m_level == Level::tf32 || m_level == Level::tf32_cut || m_level == Level::fp8
                     || (m_is_lse && !changes_lse(m_level));
  // What cutting does is known: a gain that is not quite that is no cut.
  const bool cut = !m_is_lse && m_level == Level::flash_cut;
  const double share = leans                                              ? 1.0
                       : cut || (!m_is_lse && has_coarse_logits(m_level)) ? k_coarse_share
                                                                          : k_gain_share;
  const double errors = cut ? k_cut_errors : k_standard_errors;
  const auto test = [&](std::size_t first, std::size_t last, const std::string& where) {
    double sum = 0.0;
    double squares = 0.0;
    double count = 0.0;
    for (std::size_t slot = first; slot < last; ++slot) {
      if (m_errors.error[slot] >= 0.0 && std::isfinite(m_errors.error[slot])) {
        sum += m_errors.bias[slot];
        squares += m_errors.bias[slot] * m_errors.bias[slot];
        count += 1.0;
      }
    }
    if (count < static_cast<double>(k_enough_samples)) {
      return; // too few for an average
    }
    const double mean = sum / count;
    const double error = std::sqrt(std::max(0.0, squares / count - mean * mean) / (count - 1.0));
    const double allowed =
        errors * (1.0 + k_few_rows / count) * error + share * m_floor.root() + bias() + k_sum_bias;
    if (std::abs(mean - m_expected_bias) > allowed) {
      fail(m_is_lse ? fmt::format("on average{} {:+.3g} ± {:.1g} off", where, mean, error)
                    : fmt::format("on average{} {:.7g} ± {:.1g} times the reference", where,
                                  1.0 + mean, error));
    }
  };
  const std::size_t before = m_result.reasons.size();
  test(0, m_heads * m_rows, "");
  for (std::size_t h = 0; h < m_heads && m_result.reasons.size() == before; ++h) {
    test(h * m_rows, (h + 1) * m_rows, fmt::format(" of head {}", m_evidence.errors.heads[h]));
  }
}

std::string scale_reason(const ScaleFit& fit, double expected) {
  return fmt::format("the softmax scale fitted from {} is {}, {:+.3g} % from {} ({:.3g} standard "
                     "errors)",
                     fit.from, format_number(fit.softmax_scale), 100.0 * (fit.ratio - 1.0),
                     format_number(expected),
                     std::abs(fit.softmax_scale - expected) / fit.standard_error);
}

/// Adds the fitted scale as the first reason when it explains the error, as the only one when
/// nothing else was seen; else what was fitted means nothing. `bias`: what a healthy kernel's
/// rounding may do to the fit, at most.
void test_scale(const std::optional<ScaleFit>& fit, double expected, double allowance, double bias,
                double floor, double error, std::int64_t width, bool may_be_explained,
                TensorComparison& result) {
  if (!fit || !fit->converged) {
    return;
  }
  // A fit to few rows may leave next to no residual by luck: a healthy kernel's noise counts too.
  const double noise = floor / std::sqrt(static_cast<double>(width) * fit->information);
  const double own_error = fit->standard_error / std::abs(fit->softmax_scale);
  // What a scale explains to the last is no noise, whatever a kernel of this level may do.
  const bool explained =
      may_be_explained && fit->rows >= k_few_rows && fit->residual < k_explained * error
      && std::abs(fit->ratio - 1.0) > k_float32_scale + bias + k_standard_errors * own_error;
  const double standard_error =
      std::max(own_error, fit->rows < k_few_rows ? k_few_rows_noise * noise : noise);
  if (!explained
      && std::abs(fit->ratio - 1.0) <= allowance + bias + k_standard_errors * standard_error) {
    return;
  }
  if (fit->residual < k_row_ratio * floor || result.reasons.empty()) {
    result.reasons.insert(result.reasons.begin(), scale_reason(*fit, expected));
  }
}

} // namespace

double scale_allowance(Level level, const ComputeDtypes& dtypes, bool from_lse) {
  switch (level) {
  case Level::flash_cut:
    // The largest probability, 1, is not cut: it weighs more than it should.
    return from_lse ? 1e-5 : 0.5 * unit_roundoff(dtypes.compute());
  case Level::exact:
  case Level::flash:
    if (tensor::is_float8(dtypes.input)) {
      return 3e-4; // sums of about 14 bits
    }
    return from_lse ? 1e-5 : 2e-5;
  case Level::rounded_sum:
  case Level::rounded_query:
  case Level::rounded_logits:
  case Level::eager:
    return 2e-5; // their noise has no direction: the standard error of the fit allows for it
  case Level::tf32:
  case Level::tf32_cut:
    return 2e-3; // operands cut, not rounded: twice 2^-11, all in one direction
  case Level::fp8:
    break;
  }
  return 5e-3;
}

LevelResult test_level(const Evidence& evidence, Level level, const std::vector<RowFloor>& floors) {
  LevelResult result;
  result.level = level;
  const double lse_roundoff = unit_roundoff(rounding_of(evidence.lse_dtype));
  std::vector<double> out_floors;
  std::vector<double> lse_floors;
  std::vector<double> biases;
  std::vector<double> out_errors;
  std::vector<double> lse_errors;
  MeanSquare out_mean;
  MeanSquare lse_mean;
  for (std::size_t i = 0; i < floors.size(); ++i) {
    const auto place = [](const std::vector<std::int64_t>& sorted, std::int64_t value) {
      return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value)
                                      - sorted.begin());
    };
    const std::size_t slot =
        evidence.errors.slot(place(evidence.errors.heads, evidence.samples[i].head),
                             place(evidence.errors.rows, evidence.samples[i].row));
    out_floors.push_back(floors[i].out);
    biases.push_back(floors[i].bias);
    lse_floors.push_back(
        std::hypot(floors[i].lse, lse_roundoff * std::abs(evidence.errors.reference_lse[slot])));
    out_mean.add(out_floors.back());
    lse_mean.add(lse_floors.back());
    if (evidence.errors.out.present) {
      out_errors.push_back(evidence.errors.out.error[slot]);
    }
    if (evidence.errors.lse.present) {
      lse_errors.push_back(evidence.errors.lse.error[slot]);
    }
  }
  result.out_floor = out_mean.root();
  result.lse_floor = lse_mean.root();
  const double scale = evidence.problem.softmax_scale;
  result.bias = rounding_bias(evidence.spreads,
                              2.0 * unit_roundoff(probability_rounding(level, evidence.dtypes)));
  if (evidence.errors.out.present) {
    result.out_bulk = ratio_of(median(out_errors), median(out_floors));
    TensorTest(evidence, evidence.errors.out, out_floors, false, level, result.bias.gain,
               level == Level::flash_cut ? mean_of(biases) : 0.0, result.out)
        .run();
    test_scale(evidence.out_fit, scale, scale_allowance(level, evidence.dtypes, false),
               result.bias.scale, result.out_floor, root_mean_square(out_errors),
               evidence.problem.v_width(), true, result.out);
  }
  if (evidence.errors.lse.present) {
    result.lse_bulk = ratio_of(median(lse_errors), median(lse_floors));
    TensorTest(evidence, evidence.errors.lse, lse_floors, true, level, result.bias.gain, 0.0,
               result.lse)
        .run();
    test_scale(evidence.lse_fit, scale, scale_allowance(level, evidence.dtypes, true), 0.0,
               result.lse_floor, root_mean_square(lse_errors), 1, level != Level::tf32_cut,
               result.lse); // cut operands shrink all logits alike
  }
  return result;
}

} // namespace mla_scale::compare
