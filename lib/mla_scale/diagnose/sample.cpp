#include <mla_scale/diagnose/sample.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

namespace mla_scale::diagnose {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::size_t unsigned_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// Row numbers of one sequence in the order in which they are worth looking at.
std::vector<std::int64_t> preferred_rows(const tensor::Sequence& sequence, std::int64_t limit) {
  const auto count = sequence.query_end - sequence.query_begin;
  std::set<std::int64_t> chosen;
  if (count <= limit) {
    limit = count;
  }
  const auto add = [&](std::int64_t local) {
    if (local >= 0 && local < count && std::ssize(chosen) < limit) {
      chosen.insert(local);
    }
  };
  for (std::int64_t edge = 0; edge < 4; ++edge) {
    add(edge);
    add(count - 1 - edge);
  }
  for (std::int64_t page = 64; page < count && std::ssize(chosen) < limit / 3; page += 64) {
    add(page - 1);
    add(page);
  }
  // Halving steps, so that any limit gives an even spread; odd offsets, so that no page size hides.
  for (std::int64_t parts = 2; std::ssize(chosen) < limit; parts *= 2) {
    for (std::int64_t part = 1; part < parts; part += 2) {
      add(part * count / parts);
    }
    if (parts > 2 * count) {
      for (std::int64_t local = 0; local < count; ++local) {
        add(local);
      }
    }
  }
  return {chosen.begin(), chosen.end()};
}

void load_slot(const reference::Problem& problem, std::int64_t head,
               const tensor::Sequence& sequence, Matrix& keys, std::vector<double>& values) {
  reference::KeyTiles<double> tiles(problem, head);
  const auto count = sequence.key_end - sequence.key_begin;
  keys.resize(count, tiles.key_width());
  values.assign(unsigned_of(count * tiles.value_width()), 0.0);
  if (count > 0) {
    tiles.load(sequence.key_begin, count, keys.data(), values.data());
  }
}

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

std::vector<HeadRow> choose_rows(const reference::Problem& problem, std::int64_t heads,
                                 std::int64_t budget, const std::vector<HeadRow>& suspects) {
  const auto all_heads = problem.chosen_heads();
  const auto count = std::min<std::int64_t>(heads, std::ssize(all_heads));
  std::set<std::int64_t> chosen_heads;
  for (const auto& [head, row] : suspects) {
    if (2 * std::ssize(chosen_heads) < count
        && std::find(all_heads.begin(), all_heads.end(), head) != all_heads.end()) {
      chosen_heads.insert(head);
    }
  }
  for (std::int64_t parts = count; std::ssize(chosen_heads) < count; ++parts) {
    for (std::int64_t index = 0; index < parts && std::ssize(chosen_heads) < count; ++index) {
      const auto at = parts == 1 ? 0 : index * (std::ssize(all_heads) - 1) / (parts - 1);
      chosen_heads.insert(all_heads[unsigned_of(at)]);
    }
  }
  std::set<std::int64_t> allowed;
  if (!problem.rows.empty()) {
    allowed.insert(problem.rows.begin(), problem.rows.end());
  }
  std::int64_t total_keys = 0; // of one row of each sequence
  for (const auto& sequence : problem.sequences) {
    total_keys += sequence.key_end - sequence.key_begin;
  }
  std::vector<HeadRow> pairs;
  if (count == 0 || total_keys == 0) {
    return pairs;
  }
  const auto rows_each = std::clamp<std::int64_t>(budget / (count * total_keys), 4, 256);
  for (const auto& sequence : problem.sequences) {
    for (const auto local : preferred_rows(sequence, rows_each)) {
      const auto row = sequence.query_begin + local;
      if (allowed.empty() || allowed.contains(row)) {
        for (const auto head : chosen_heads) {
          pairs.emplace_back(head, row);
        }
      }
    }
  }
  constexpr std::size_t k_most_suspects = 32;
  for (std::size_t at = 0; at < std::min(k_most_suspects, suspects.size()); ++at) {
    if (chosen_heads.contains(suspects[at].first)) {
      for (const auto head : chosen_heads) {
        pairs.emplace_back(head, suspects[at].second);
      }
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

Result<Sample> make_sample(const reference::Problem& problem, const tensor::Capture& capture,
                           const std::vector<HeadRow>& pairs) {
  if (auto valid = reference::validate(problem); !valid) {
    return valid.error();
  }
  Sample sample;
  sample.width = unsigned_of(problem.v_width());
  const auto positions = reference::query_positions(capture);
  auto logits = std::make_shared<LogitSet>();
  auto values = std::make_shared<ValueSet>();
  const auto nope = problem.nope_width();
  const auto rope = problem.qk_rope_head_dim;
  Matrix keys;
  std::vector<double> query(unsigned_of(nope + rope));
  std::vector<double> out(sample.width);
  const double natural = capture.lse_base == tensor::LseBase::two ? std::numbers::ln2 : 1.0;
  for (const auto& pair : pairs) {
    const std::int64_t head = pair.first;
    const std::int64_t row_number = pair.second;
    const auto found = std::find_if(
        problem.sequences.begin(), problem.sequences.end(), [&](const tensor::Sequence& sequence) {
          return row_number >= sequence.query_begin && row_number < sequence.query_end;
        });
    if (found == problem.sequences.end()) {
      continue;
    }
    const auto sequence_index =
        static_cast<std::size_t>(std::distance(problem.sequences.begin(), found));
    const std::pair slot_name{head, sequence_index};
    if (sample.slots.empty() || sample.slots.back() != slot_name) {
      sample.slots.push_back(slot_name);
      load_slot(problem, head, *found, keys, values->values.emplace_back());
      values->squared.push_back(squares(values->values.back(), sample.width));
    }
    Row row;
    row.head = head;
    row.row = row_number;
    row.sequence = sequence_index;
    row.slot = sample.slots.size() - 1;
    row.keys = unsigned_of(found->key_end - found->key_begin);
    row.visible = unsigned_of(problem.visible_keys(*found, row_number));
    row.local = unsigned_of(row_number - found->query_begin);
    row.queries = unsigned_of(found->query_end - found->query_begin);
    row.offset = logits->nope.size();
    row.factor =
        problem.query_factors.empty() ? 1.0 : problem.query_factors[unsigned_of(row_number)];
    row.position = unsigned_of(row_number) < positions.size()
                       ? static_cast<double>(positions[unsigned_of(row_number)])
                       : 0.0;
    problem.q.read(row_number, head, 0, nope + rope, query.data());
    const Eigen::Map<const Eigen::VectorXd> q(query.data(), nope + rope);
    const Eigen::VectorXd u = keys.leftCols(nope) * q.head(nope);
    const Eigen::VectorXd w = keys.rightCols(rope) * q.tail(rope);
    logits->nope.insert(logits->nope.end(), u.begin(), u.end());
    logits->rope.insert(logits->rope.end(), w.begin(), w.end());
    if (capture.out) {
      capture.out->read(row_number, head, 0, problem.v_width(), out.data());
      row.has_out = std::all_of(out.begin(), out.end(), [](double x) { return std::isfinite(x); });
      for (const double x : out) {
        row.out_squared += x * x;
      }
    } else {
      std::fill(out.begin(), out.end(), 0.0);
    }
    sample.out.insert(sample.out.end(), out.begin(), out.end());
    if (capture.lse) {
      row.lse = capture.lse->at(row_number, head, 0) * natural;
      row.has_lse = std::isfinite(row.lse);
    }
    row.freedom = std::clamp(static_cast<double>(row.visible) / 4.0, 1.0, 24.0);
    sample.any_out = sample.any_out || row.has_out;
    sample.any_lse = sample.any_lse || row.has_lse;
    sample.rows.push_back(row);
  }
  sample.logits = std::move(logits);
  sample.values = std::move(values);
  return sample;
}

ValueSet load_values(const reference::Problem& problem,
                     const std::vector<std::pair<std::int64_t, std::size_t>>& slots) {
  ValueSet set;
  Matrix keys;
  for (const auto& [head, sequence] : slots) {
    load_slot(problem, head, problem.sequences[sequence], keys, set.values.emplace_back());
    set.squared.push_back(squares(set.values.back(), unsigned_of(problem.v_width())));
  }
  return set;
}

} // namespace mla_scale::diagnose
