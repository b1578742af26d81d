#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/rotary.hpp>

#include <Eigen/Core>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

// The rope part computed another way, from q and k before RoPE and the positions.

namespace mla_scale::diagnose {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double rounded(double value, const tensor::View3& like) {
  switch (like.tensor->dtype) {
  case tensor::Dtype::bf16:
  case tensor::Dtype::f16: {
    const int bits = like.tensor->dtype == tensor::Dtype::bf16 ? 8 : 11;
    int exponent = 0;
    const double mantissa = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits);
  }
  case tensor::Dtype::f32:
    return static_cast<double>(static_cast<float>(value));
  default:
    return value;
  }
}

/// The rope parts before RoPE of one sample, read once.
class BeforeRope {
public:
  explicit BeforeRope(const Context& context)
      : m_context(context), m_width(context.problem.qk_rope_head_dim),
        m_query_offset(context.capture.q_pre->width - m_width) {}

  [[nodiscard]] std::vector<double> query(const Row& row) const {
    std::vector<double> result(static_cast<std::size_t>(m_width));
    m_context.capture.q_pre->read(row.row, row.head, m_query_offset, m_width, result.data());
    return result;
  }
  [[nodiscard]] double query_position(const Row& row) const { return row.position; }
  [[nodiscard]] std::vector<double> key(std::int64_t key) const {
    std::vector<double> result(static_cast<std::size_t>(m_width));
    m_context.capture.k_pe_pre->read(key, 0, 0, m_width, result.data());
    return result;
  }
  [[nodiscard]] double key_position(const tensor::Sequence& sequence, std::int64_t key) const {
    const auto& positions = m_context.capture.positions_k;
    return key < std::ssize(positions)
               ? static_cast<double>(positions[static_cast<std::size_t>(key)])
               : static_cast<double>(key - sequence.key_begin);
  }
  /// Rotated keys of a sequence, in the dtype that a kernel would read.
  /// `restart`: as if the positions began again at 0 behind the prefix; against queries that keep
  /// theirs, the prefix is its own length further away.
  [[nodiscard]] Matrix keys(const tensor::Sequence& sequence, const Rotation& rotation,
                            bool restart = false) const {
    Matrix result(sequence.key_end - sequence.key_begin, m_width);
    const auto prefix = result.rows() - (sequence.query_end - sequence.query_begin);
    for (std::int64_t key = sequence.key_begin; key < sequence.key_end; ++key) {
      const bool moved = restart && key - sequence.key_begin < prefix;
      const auto rotated = rotate(
          this->key(key), key_position(sequence, key) + (moved ? static_cast<double>(prefix) : 0.0),
          rotation);
      for (std::int64_t column = 0; column < m_width; ++column) {
        result(key - sequence.key_begin, column) =
            rounded(rotated[static_cast<std::size_t>(column)], *m_context.capture.k_pe_pre);
      }
    }
    return result;
  }
  [[nodiscard]] Eigen::VectorXd query(const Row& row, const Rotation& rotation) const {
    const auto rotated = rotate(query(row), query_position(row), rotation);
    Eigen::VectorXd result(m_width);
    for (std::int64_t column = 0; column < m_width; ++column) {
      result[column] = rounded(rotated[static_cast<std::size_t>(column)], *m_context.capture.q_pre);
    }
    return result;
  }

private:
  const Context& m_context;
  std::int64_t m_width;
  std::int64_t m_query_offset;
};

/// Logits with the rope parts of `rows` rotated as given; other rows keep the sample's.
std::shared_ptr<const LogitSet> rotated_logits(const Context& context, const BeforeRope& before,
                                               const Rotation& query, const Rotation& key,
                                               bool restart, std::span<const std::size_t> rows) {
  auto logits = std::make_shared<LogitSet>(*context.sample.logits);
  std::map<std::size_t, Matrix> keys;
  for (const auto index : rows) {
    const Row& row = context.sample.rows[index];
    auto found = keys.find(row.sequence);
    if (found == keys.end()) {
      found = keys.emplace(row.sequence,
                           before.keys(context.problem.sequences[row.sequence], key, restart))
                  .first;
    }
    Eigen::Map<Eigen::VectorXd>(logits->rope.data() + row.offset, found->second.rows()) =
        found->second * before.query(row, query);
  }
  return logits;
}

/// How far the captured rope part of k is from a rotation of k_pe_pre: |difference| / |k|. The
/// order of the columns is compared too.
double distance_to_captured(const Context& context, const BeforeRope& before,
                            const Rotation& rotation) {
  const auto& sample = context.sample;
  double difference = 0.0;
  double size = 0.0;
  std::vector<double> captured(static_cast<std::size_t>(context.problem.qk_rope_head_dim));
  const auto nope = context.problem.nope_width();
  for (std::size_t at = 0; at < sample.rows.size(); at += 1 + sample.rows.size() / 64) {
    const Row& row = sample.rows[at];
    context.problem.q.read(row.row, row.head, nope, context.problem.qk_rope_head_dim,
                           captured.data());
    const auto rotated = before.query(row, rotation);
    // A permutation of columns that q and k share changes nothing: compare the two layouts.
    const auto width = static_cast<std::size_t>(context.problem.qk_rope_head_dim);
    double same = 0.0;
    double to_halves = 0.0;
    double to_pairs = 0.0;
    for (std::size_t column = 0; column < width; ++column) {
      const double value = rotated[static_cast<Eigen::Index>(column)];
      const auto halves = column % 2 * (width / 2) + column / 2;
      const auto pairs = column < width / 2 ? 2 * column : 2 * (column - width / 2) + 1;
      same += (captured[column] - value) * (captured[column] - value);
      to_halves += (captured[halves] - value) * (captured[halves] - value);
      to_pairs += (captured[pairs] - value) * (captured[pairs] - value);
      size += captured[column] * captured[column];
    }
    difference += std::min({same, to_halves, to_pairs});
  }
  return size > 0.0 ? std::sqrt(difference / size) : 0.0;
}

struct Variant {
  std::string id;
  std::string text;
  Rotation query;
  Rotation key;
  std::vector<Parameter> parameters;
  double cost = 1.0;
  bool restart = false; ///< positions begin again at 0 behind the prefix
};

std::vector<Variant> variants(const Context& context, const Rotation& right) {
  std::vector<Variant> all;
  const auto& rotary = context.expectation.rotary;
  Rotation swapped = right;
  swapped.pairing = right.pairing == Pairing::interleaved ? Pairing::halves : Pairing::interleaved;
  Rotation mixed = right;
  mixed.pairing = Pairing::mixed;
  Rotation plain = right;
  plain.frequencies = rotary.plain_inverse_frequencies;
  Rotation none = right;
  none.frequencies.clear();
  Rotation none_unscaled = none;
  none_unscaled.factor = 1.0;
  const auto add = [&](std::string id, const std::string& text, const Rotation& query,
                       const Rotation& key, double cost) {
    all.push_back({std::move(id), text, query, key, {}, cost, false});
  };
  const std::string pairing = fmt::format("pairs rotated as {}, not as {}",
                                          to_string(swapped.pairing), to_string(right.pairing));
  add("rope.interleave_swapped", pairing + ", in q and k", swapped, swapped, 1.0);
  add("rope.interleave_swapped", pairing + ", in q alone", swapped, right, 2.0);
  add("rope.interleave_swapped", pairing + ", in k alone", right, swapped, 2.0);
  // One side permuted before it is rotated, the other not: their columns do not meet.
  const auto permuted = [](Rotation rotation) {
    rotation.to_halves = rotation.pairing == Pairing::interleaved;
    return rotation;
  };
  const std::string unmet = ", its columns in another order than the other's";
  add("rope.interleave_swapped", pairing + ", in q alone" + unmet, permuted(swapped),
      permuted(right), 2.5);
  add("rope.interleave_swapped", pairing + ", in k alone" + unmet, permuted(right),
      permuted(swapped), 2.5);
  add("rope.interleave_swapped", std::string(to_string(Pairing::mixed)), mixed, mixed, 2.0);
  bool differs = false;
  for (std::size_t at = 0; at < std::min(plain.frequencies.size(), right.frequencies.size());
       ++at) {
    differs = differs || std::abs(plain.frequencies[at] / right.frequencies[at] - 1.0) > 1e-9;
  }
  if (differs) {
    add("rope.frequencies_plain", "frequencies theta^(-2i/R) without YaRN, in q and k", plain,
        plain, 1.0);
    add("rope.frequencies_plain", "frequencies without YaRN in q alone", plain, right, 2.0);
    add("rope.frequencies_plain", "frequencies without YaRN in k alone", right, plain, 2.0);
    Rotation both = plain;
    both.pairing = swapped.pairing;
    add("rope.frequencies_plain", "frequencies without YaRN, and " + pairing, both, both, 3.0);
  }
  add("rope.not_applied", "q and k as before RoPE", none, none, 1.0);
  add("rope.not_applied", "q as before RoPE", none, right, 2.0);
  add("rope.not_applied", "k as before RoPE", right, none, 2.0);
  add("rope.not_applied", "q as before RoPE" + unmet, none, permuted(right), 2.5);
  add("rope.not_applied", "k as before RoPE" + unmet, permuted(right), none, 2.5);
  if (right.factor != 1.0) {
    add("rope.not_applied", "q and k as before RoPE, without the cos/sin factor", none_unscaled,
        none_unscaled, 1.5);
  }
  return all;
}

/// Misfit of one row when the positions of q are shifted; `keys` rotated as they should be.
double shift_misfit(const Context& context, const BeforeRope& before, const Matrix& keys,
                    const Rotation& shifted, std::size_t index) {
  const Row& row = context.sample.rows[index];
  auto logits = std::make_shared<LogitSet>();
  const auto first = context.sample.logits->nope.begin() + static_cast<std::ptrdiff_t>(row.offset);
  logits->nope.assign(first, first + static_cast<std::ptrdiff_t>(row.keys));
  logits->rope.resize(row.keys);
  Eigen::Map<Eigen::VectorXd>(logits->rope.data(), keys.rows()) = keys * before.query(row, shifted);
  Mechanism mechanism = context.reference;
  mechanism.logits = logits;
  Row moved = row;
  moved.offset = 0;
  const auto prediction = context.predictor.predict(mechanism, moved);
  if (!row.has_out) {
    const double error = row.lse - prediction.lse;
    return std::log1p(error * error / prediction.lse_fine);
  }
  const auto got = context.sample.out_of(index);
  double error = 0.0;
  for (std::size_t column = 0; column < got.size(); ++column) {
    error += (got[column] - prediction.out[column]) * (got[column] - prediction.out[column]);
  }
  return std::log1p(error / prediction.fine);
}

/// Shifts up to this are tried one by one.
constexpr int k_largest_shift = 320;

std::vector<double> shifts(const Context& context) {
  std::set<double> tried;
  for (int shift = 1; shift <= k_largest_shift; ++shift) {
    tried.insert({static_cast<double>(shift), -static_cast<double>(shift)});
  }
  for (const double page : {512.0, 1024.0, 2048.0, 4096.0}) {
    tried.insert({page, -page});
  }
  for (const auto index : context.rows) {
    const auto& row = context.sample.rows[index];
    for (const double size : {static_cast<double>(row.prefix), static_cast<double>(row.queries),
                              static_cast<double>(row.keys)}) {
      tried.insert({size, -size});
    }
    if (row.local == 0) {
      tried.insert({row.position, -row.position});
    }
  }
  tried.erase(0.0);
  return {tried.begin(), tried.end()};
}

} // namespace

namespace {

/// The rotation that the captured q and k went through: the model's, unless another one gives the
/// captured q and the model's does not. A bug before the capture is not one of attention.
std::pair<Rotation, bool> captured_rotation(const Context& context, const BeforeRope& before) {
  const auto& rotary = context.expectation.rotary;
  const Rotation expected{rotary.interleaved ? Pairing::interleaved : Pairing::halves,
                          rotary.inverse_frequencies, rotary.cos_sin_factor, 0.0};
  constexpr double k_same = 0.02;
  if (distance_to_captured(context, before, expected) < k_same) {
    return {expected, true};
  }
  for (const auto pairing : {Pairing::interleaved, Pairing::halves, Pairing::mixed}) {
    for (const auto* frequencies :
         {&rotary.inverse_frequencies, &rotary.plain_inverse_frequencies}) {
      for (const double factor : {rotary.cos_sin_factor, 1.0, context.expectation.mscale}) {
        const Rotation other{pairing, *frequencies, factor, 0.0};
        if (distance_to_captured(context, before, other) < k_same) {
          return {other, true};
        }
      }
    }
  }
  return {expected, false};
}

} // namespace

void propose_rope(const Context& context, std::vector<Candidate>& candidates) {
  const auto& capture = context.capture;
  const auto& rotary = context.expectation.rotary;
  const auto rope = context.problem.qk_rope_head_dim;
  if (!capture.q_pre || !capture.k_pe_pre || rotary.inverse_frequencies.empty()
      || std::ssize(rotary.inverse_frequencies) * 2 != rope || capture.q_pre->width < rope
      || capture.k_pe_pre->width != rope) {
    return;
  }
  const BeforeRope before(context);
  const auto [right, as_captured] = captured_rotation(context, before);
  const auto propose = [&](const Variant& variant) {
    Candidate candidate;
    candidate.mechanism = context.reference;
    candidate.mechanism.logits =
        rotated_logits(context, before, variant.query, variant.key, variant.restart, context.probe);
    candidate.complete = [&context, before, variant](Candidate& all) {
      all.mechanism.logits = rotated_logits(context, before, variant.query, variant.key,
                                            variant.restart, context.rows);
    };
    candidate.cost = variant.cost;
    candidate.parts.push_back({variant.id, variant.parameters, variant.text});
    candidates.push_back(std::move(candidate));
  };
  for (const auto& variant : variants(context, right)) {
    propose(variant);
  }
  if (!as_captured) {
    // No rotation known here gives the captured q: the output may still follow the model's.
    propose({"rope.positions_shifted",
             "out follows the model's RoPE, the captured q does not",
             right,
             right,
             {},
             6.0,
             false});
  }
  propose({"rope.positions_shifted",
           "positions begin again at 0 behind the prefix",
           right,
           right,
           {},
           1.5,
           true});
  std::vector<std::size_t> few;
  for (std::size_t at = 0; at < context.probe.size() && few.size() < 6;
       at += 1 + context.probe.size() / 6) {
    few.push_back(context.probe[at]);
  }
  std::map<std::size_t, Matrix> keys;
  for (const auto index : few) {
    const auto sequence = context.sample.rows[index].sequence;
    if (!keys.contains(sequence)) {
      keys.emplace(sequence, before.keys(context.problem.sequences[sequence], right));
    }
  }
  const auto misfit_of = [&, model_rotation = right](double shift,
                                                     std::span<const std::size_t> rows) {
    Rotation shifted = model_rotation;
    shifted.shift = shift;
    double sum = 0.0;
    for (const auto index : rows) {
      sum += shift_misfit(context, before, keys.at(context.sample.rows[index].sequence), shifted,
                          index);
    }
    return sum;
  };
  // All of them on two rows, the best of those on the others too.
  constexpr std::size_t k_screened = 12;
  const auto last_two = std::span(few).last(std::min<std::size_t>(2, few.size()));
  std::vector<std::pair<double, double>> best;
  for (const double shift : shifts(context)) {
    best.emplace_back(misfit_of(shift, last_two), shift);
  }
  std::sort(best.begin(), best.end());
  best.resize(std::min(best.size(), k_screened));
  for (auto& [sum, shift] : best) {
    sum = misfit_of(shift, few);
  }
  std::sort(best.begin(), best.end());
  for (std::size_t at = 0; at < best.size() && at < 2; ++at) {
    Variant shifted{"rope.positions_shifted",
                    fmt::format("positions of q moved by {:g} against those of k", best[at].second),
                    right,
                    right,
                    {{"shift", best[at].second}},
                    1.0 + k_cost_of_scan,
                    false};
    shifted.query.shift = best[at].second;
    propose(shifted);
  }
}

} // namespace mla_scale::diagnose
