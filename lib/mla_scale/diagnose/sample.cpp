#include <mla_scale/diagnose/sample.hpp>
#include <mla_scale/reference/key_blocks.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace mla_scale::diagnose {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Eigen::Index k_key_block = 256;
std::size_t unsigned_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// Where the keys of a head are read: the problem itself, or of a large capture a copy of this and
/// the heads that come next.
class NearKeys {
public:
  NearKeys(const reference::Problem& problem, const std::vector<HeadRow>& pairs, std::int64_t keys,
           reference::Copied copied)
      : m_problem(problem), m_keys(keys), m_copied(copied) {
    for (const auto& pair : pairs) {
      if (m_heads.empty() || m_heads.back() != pair.first) {
        m_heads.push_back(pair.first);
      }
    }
  }

  const reference::Problem& of(std::int64_t head) {
    if (!reference::is_large(m_problem)) {
      return m_problem;
    }
    const auto at = std::lower_bound(m_heads.begin(), m_heads.end(), head) - m_heads.begin();
    if (at >= m_end) {
      m_copy.reset();
      m_end =
          std::min(at + reference::heads_to_copy(m_problem, m_keys, m_copied), std::ssize(m_heads));
      m_copy = reference::copy_keys(
          m_problem, std::span(m_heads).subspan(unsigned_of(at), unsigned_of(m_end - at)), m_keys,
          m_copied);
    }
    return *m_copy;
  }

private:
  const reference::Problem& m_problem;
  std::int64_t m_keys;
  reference::Copied m_copied;
  std::vector<std::int64_t> m_heads; // ascending
  std::int64_t m_end = 0;            // of them, those copied so far
  std::optional<reference::Problem> m_copy;
};

std::vector<double> squares(const std::vector<double>& values, std::size_t width) {
  std::vector<double> result(width == 0 ? 0 : values.size() / width, 0.0);
  for (std::size_t key = 0; key < result.size(); ++key) {
    for (std::size_t column = 0; column < width; ++column) {
      const double value = values[key * width + column];
      result[key] += value * value;
    }
  }
  return result;
}

} // namespace

std::size_t most_keys(const Sample& sample) {
  std::size_t most = 1;
  for (const Row& row : sample.rows) {
    most = std::max(most, row.keys);
  }
  return most;
}

std::size_t rows_with_values(const Sample& sample, std::size_t most) {
  constexpr std::size_t k_most_values = std::size_t{16} << 20;
  constexpr std::size_t k_fewest = 4;
  return std::min(most, std::max(k_most_values / (most_keys(sample) * sample.width), k_fewest));
}

namespace {

std::size_t sequence_index_of(const reference::Problem& problem, std::int64_t row) {
  const auto found = std::find_if(problem.sequences.begin(), problem.sequences.end(),
                                  [&](const tensor::Sequence& sequence) {
                                    return row >= sequence.query_begin && row < sequence.query_end;
                                  });
  return static_cast<std::size_t>(std::distance(problem.sequences.begin(), found));
}

/// Keys of the sequence of a row that a sample must hold for it.
std::int64_t keys_held(const reference::Problem& problem, const tensor::Sequence& sequence,
                       std::int64_t row, Held held) {
  return held.future_keys ? sequence.key_end - sequence.key_begin
                          : problem.visible_keys(sequence, row);
}

/// Key rows of the capture, from its first, that a sample reads.
std::int64_t keys_read(const reference::Problem& problem, const std::vector<HeadRow>& pairs,
                       Held held) {
  std::int64_t keys = 0;
  for (const auto& pair : pairs) {
    if (const auto sequence = problem.sequence_of(pair.second)) {
      keys = std::max(keys, sequence->key_begin + keys_held(problem, *sequence, pair.second, held));
    }
  }
  return keys;
}

/// Fills in a sample slot by slot, a slot being the rows of one head and sequence.
class SampleBuilder {
public:
  SampleBuilder(const reference::Problem& problem, const tensor::Capture& capture, Held held)
      : m_problem(problem), m_capture(capture), m_held(held),
        m_positions(reference::query_positions(capture)) {
    m_sample.width = unsigned_of(problem.v_width());
  }

  /// Pairs [first, last) of one head and one sequence, whose keys are read from `near`.
  void add_slot(const reference::Problem& near, std::span<const HeadRow> pairs,
                std::size_t sequence_index) {
    const tensor::Sequence& sequence = m_problem.sequences[sequence_index];
    const std::int64_t head = pairs.front().first;
    const std::int64_t count = keys_held(m_problem, sequence, pairs.back().second, m_held);
    m_sample.slots.emplace_back(head, sequence_index);
    load_keys(near, head, sequence.key_begin, count);
    const std::size_t first = m_sample.rows.size();
    for (const auto& pair : pairs) {
      add_row(pair, sequence, sequence_index, count);
    }
    // Block by block, so that many keys are read from memory once for all rows.
    for (Eigen::Index key = 0; key < m_keys.rows(); key += k_key_block) {
      for (std::size_t row = first; row < m_sample.rows.size(); ++row) {
        add_logits(m_sample.rows[row], key, std::min(k_key_block, m_keys.rows() - key));
      }
    }
  }

  Sample take() {
    m_sample.logits = std::make_shared<const LogitSet>(std::move(m_logits));
    m_sample.values = std::make_shared<const ValueSet>(std::move(m_values));
    return std::move(m_sample);
  }

private:
  void load_keys(const reference::Problem& near, std::int64_t head, std::int64_t first,
                 std::int64_t count) {
    reference::KeyTiles<double> tiles(near, head);
    m_keys.resize(count, tiles.key_width());
    std::vector<double>& values = m_values.values.emplace_back();
    values.assign(m_held.values ? unsigned_of(count * tiles.value_width()) : 0, 0.0);
    if (count > 0) {
      tiles.load(first, count, m_keys.data(), m_held.values ? values.data() : nullptr);
    }
    m_values.squared.push_back(squares(values, m_sample.width));
  }

  void add_row(const HeadRow& pair, const tensor::Sequence& sequence, std::size_t sequence_index,
               std::int64_t keys) {
    Row row;
    row.head = pair.first;
    row.row = pair.second;
    row.sequence = sequence_index;
    row.slot = m_sample.slots.size() - 1;
    row.keys = unsigned_of(keys);
    row.visible = unsigned_of(m_problem.visible_keys(sequence, row.row));
    row.local = unsigned_of(row.row - sequence.query_begin);
    row.queries = unsigned_of(sequence.query_end - sequence.query_begin);
    // More queries than keys: those that come first see none.
    const std::size_t all_keys = unsigned_of(sequence.key_end - sequence.key_begin);
    row.prefix = all_keys - std::min(all_keys, row.queries);
    row.offset = m_logits.nope.size();
    const auto at = unsigned_of(row.row);
    row.factor = m_problem.query_factors.empty() ? 1.0 : m_problem.query_factors[at];
    row.position = at < m_positions.size() ? static_cast<double>(m_positions[at]) : 0.0;
    m_logits.nope.resize(row.offset + row.keys);
    m_logits.rope.resize(row.offset + row.keys);
    m_logits.stored.resize(m_problem.form == reference::Form::expanded ? 0 : row.offset + row.keys);
    add_captured(row);
    row.freedom = std::clamp(static_cast<double>(row.visible) / 4.0, 1.0, 24.0);
    m_sample.any_out = m_sample.any_out || row.has_out;
    m_sample.any_lse = m_sample.any_lse || row.has_lse;
    m_sample.rows.push_back(row);
  }

  /// Logits of `count` keys from `first`.
  void add_logits(const Row& row, Eigen::Index first, Eigen::Index count) {
    const auto nope = m_problem.nope_width();
    const auto rope = m_problem.qk_rope_head_dim;
    std::vector<double> query(unsigned_of(nope + rope));
    m_problem.q.read(row.row, row.head, 0, nope + rope, query.data());
    const Eigen::Map<const Eigen::VectorXd> q(query.data(), nope + rope);
    const auto keys = m_keys.middleRows(first, count);
    const auto place = [&](std::vector<double>& logits) {
      return Eigen::Map<Eigen::VectorXd>(logits.data() + row.offset + unsigned_of(first), count);
    };
    place(m_logits.nope).noalias() = keys.leftCols(nope) * q.head(nope);
    place(m_logits.rope).noalias() = keys.rightCols(rope) * q.tail(rope);
    if (m_problem.form != reference::Form::expanded) {
      place(m_logits.stored).noalias() = keys.leftCols(nope).cwiseAbs2() * q.head(nope).cwiseAbs2();
    }
  }

  void add_captured(Row& row) {
    std::vector<double> out(m_sample.width, 0.0);
    if (m_capture.out) {
      m_capture.out->read(row.row, row.head, 0, m_problem.v_width(), out.data());
      row.has_out = std::all_of(out.begin(), out.end(), [](double x) { return std::isfinite(x); });
      for (const double x : out) {
        row.out_squared += x * x;
      }
    }
    m_sample.out.insert(m_sample.out.end(), out.begin(), out.end());
    if (m_capture.lse) {
      const double natural = m_capture.lse_base == tensor::LseBase::two ? std::numbers::ln2 : 1.0;
      row.lse = m_capture.lse->at(row.row, row.head, 0) * natural;
      row.has_lse = std::isfinite(row.lse);
    }
  }

  const reference::Problem& m_problem;
  const tensor::Capture& m_capture;
  Held m_held;
  std::vector<std::int64_t> m_positions;
  Sample m_sample;
  LogitSet m_logits;
  ValueSet m_values;
  Matrix m_keys; // of the slot
};

} // namespace

Result<Sample> make_sample(const reference::Problem& problem, const tensor::Capture& capture,
                           const std::vector<HeadRow>& pairs, Held held) {
  if (auto valid = reference::validate(problem); !valid) {
    return valid.error();
  }
  NearKeys near(problem, pairs, keys_read(problem, pairs, held),
                held.values ? reference::Copied::both : reference::Copied::keys);
  SampleBuilder builder(problem, capture, held);
  for (std::size_t first = 0; first < pairs.size();) {
    const auto sequence = sequence_index_of(problem, pairs[first].second);
    std::size_t last = first + 1;
    while (last < pairs.size() && pairs[last].first == pairs[first].first
           && sequence_index_of(problem, pairs[last].second) == sequence) {
      ++last;
    }
    if (sequence < problem.sequences.size()) {
      builder.add_slot(near.of(pairs[first].first), std::span(pairs).subspan(first, last - first),
                       sequence);
    }
    first = last;
  }
  return builder.take();
}

} // namespace mla_scale::diagnose
