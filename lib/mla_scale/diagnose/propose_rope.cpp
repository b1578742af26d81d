#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/before_rope.hpp>
#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/captured_rotation.hpp>
#include <mla_scale/diagnose/rope_variants.hpp>

#include <Eigen/Core>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

// The rope part computed another way, from q and k before RoPE and the positions.

namespace mla_scale::diagnose {

namespace {

/// Rotated keys by sequence.
using Keys = std::map<std::size_t, BeforeRope::Matrix>;

/// Those of the sequences of some rows.
Keys rotated_keys(const Context& context, const BeforeRope& before, const Rotation& rotation,
                  bool restart, std::span<const std::size_t> rows, unsigned threads) {
  Keys keys;
  for (const auto index : rows) {
    const auto sequence = context.sample.rows[index].sequence;
    if (!keys.contains(sequence)) {
      keys.emplace(sequence,
                   before.keys(context.problem.sequences[sequence], rotation, restart, threads));
    }
  }
  return keys;
}

/// Logits with the rope parts of `rows` rotated as given; other rows keep the sample's.
std::shared_ptr<const LogitSet> rotated_logits(const Context& context, const BeforeRope& before,
                                               const RopeVariant& variant,
                                               std::span<const std::size_t> rows,
                                               unsigned threads) {
  auto logits = std::make_shared<LogitSet>(*context.sample.logits);
  const Keys keys = rotated_keys(context, before, variant.key, variant.restart, rows, threads);
  parallel_for(rows.size(), threads, [&](std::size_t at) {
    const Row& row = context.sample.rows[rows[at]];
    const BeforeRope::Matrix& of_row = keys.at(row.sequence);
    Eigen::Map<Eigen::VectorXd>(logits->rope.data() + row.offset, of_row.rows()) =
        of_row * before.query(row.row, row.head, variant.query);
  });
  return logits;
}

/// Misfit of one row when the positions of q are shifted; `keys` rotated as they should be.
double shift_misfit(const Context& context, const BeforeRope& before,
                    const BeforeRope::Matrix& keys, const Rotation& shifted, std::size_t index) {
  const Row& row = context.sample.rows[index];
  auto logits = std::make_shared<LogitSet>();
  const auto first = context.sample.logits->nope.begin() + static_cast<std::ptrdiff_t>(row.offset);
  logits->nope.assign(first, first + static_cast<std::ptrdiff_t>(row.keys));
  logits->rope.resize(row.keys);
  Eigen::Map<Eigen::VectorXd>(logits->rope.data(), keys.rows()) =
      keys * before.query(row.row, row.head, shifted);
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

/// The two shifts of the positions of q that fit best: all of them on two rows, the best of those
/// on a few others too.
std::vector<double> best_shifts(const Context& context, const BeforeRope& before,
                                const Rotation& right) {
  constexpr std::size_t k_screened = 12;
  constexpr std::size_t k_most = 2;
  static_assert(k_largest_shift >= k_screened); // of the shifts that are tried
  std::vector<std::size_t> few;
  for (std::size_t at = 0; at < context.probe.size() && few.size() < 6;
       at += 1 + context.probe.size() / 6) {
    few.push_back(context.probe[at]);
  }
  const unsigned threads = threads_of_proposer(context);
  const Keys keys = rotated_keys(context, before, right, false, few, threads);
  std::vector<std::pair<double, double>> best; // misfit, shift
  const auto measure = [&](std::span<const std::size_t> rows) {
    parallel_for(best.size(), threads, [&](std::size_t at) {
      Rotation shifted = right;
      shifted.shift = best[at].second;
      double sum = 0.0;
      for (const auto index : rows) {
        sum += shift_misfit(context, before, keys.at(context.sample.rows[index].sequence), shifted,
                            index);
      }
      best[at].first = sum;
    });
    std::sort(best.begin(), best.end());
  };
  for (const double shift : shifts(context)) {
    best.emplace_back(0.0, shift);
  }
  measure(std::span(few).last(std::min<std::size_t>(2, few.size())));
  best.resize(k_screened);
  measure(few);
  std::vector<double> result;
  for (std::size_t at = 0; at < k_most; ++at) {
    result.push_back(best[at].second);
  }
  return result;
}

} // namespace

void propose_rope(const Context& context, std::vector<Candidate>& candidates) {
  const auto before = BeforeRope::of(context.problem, context.capture, context.expectation.rotary);
  if (!before) {
    return;
  }
  const auto [right, as_captured] = captured_rotation(*before, context.expectation);
  const auto propose = [&](const RopeVariant& variant) {
    Candidate candidate;
    candidate.mechanism = context.reference;
    candidate.mechanism.logits =
        rotated_logits(context, *before, variant, context.probe, threads_of_proposer(context));
    candidate.complete = [&context, before = *before, variant](Candidate& all) {
      all.mechanism.logits = rotated_logits(context, before, variant, context.rows, 1);
    };
    candidate.cost = variant.cost;
    candidate.parts.push_back({variant.id, variant.parameters, variant.text});
    candidates.push_back(std::move(candidate));
  };
  for (const auto& variant : rope_variants(context.expectation.rotary, right)) {
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
  for (const double shift : best_shifts(context, *before, right)) {
    RopeVariant shifted{"rope.positions_shifted",
                        fmt::format("positions of q moved by {:g} against those of k", shift),
                        right,
                        right,
                        {{"shift", shift}},
                        1.0 + k_cost_of_scan,
                        false};
    shifted.query.shift = shift;
    propose(shifted);
  }
}

} // namespace mla_scale::diagnose
