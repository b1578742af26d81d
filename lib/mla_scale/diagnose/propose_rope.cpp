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

/// Logits with the rope parts of `rows` rotated as given; other rows keep the sample's.
std::shared_ptr<const LogitSet> rotated_logits(const Context& context, const BeforeRope& before,
                                               const Rotation& query, const Rotation& key,
                                               bool restart, std::span<const std::size_t> rows) {
  auto logits = std::make_shared<LogitSet>(*context.sample.logits);
  std::map<std::size_t, BeforeRope::Matrix> keys;
  for (const auto index : rows) {
    const Row& row = context.sample.rows[index];
    auto found = keys.find(row.sequence);
    if (found == keys.end()) {
      found = keys.emplace(row.sequence,
                           before.keys(context.problem.sequences[row.sequence], key, restart))
                  .first;
    }
    Eigen::Map<Eigen::VectorXd>(logits->rope.data() + row.offset, found->second.rows()) =
        found->second * before.query(row.row, row.head, query);
  }
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
    candidate.mechanism.logits = rotated_logits(context, *before, variant.query, variant.key,
                                                variant.restart, context.probe);
    candidate.complete = [&context, before = *before, variant](Candidate& all) {
      all.mechanism.logits = rotated_logits(context, before, variant.query, variant.key,
                                            variant.restart, context.rows);
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
  std::vector<std::size_t> few;
  for (std::size_t at = 0; at < context.probe.size() && few.size() < 6;
       at += 1 + context.probe.size() / 6) {
    few.push_back(context.probe[at]);
  }
  std::map<std::size_t, BeforeRope::Matrix> keys;
  for (const auto index : few) {
    const auto sequence = context.sample.rows[index].sequence;
    if (!keys.contains(sequence)) {
      keys.emplace(sequence, before->keys(context.problem.sequences[sequence], right));
    }
  }
  const auto misfit_of = [&, model_rotation = right](double shift,
                                                     std::span<const std::size_t> rows) {
    Rotation shifted = model_rotation;
    shifted.shift = shift;
    double sum = 0.0;
    for (const auto index : rows) {
      sum += shift_misfit(context, *before, keys.at(context.sample.rows[index].sequence), shifted,
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
    RopeVariant shifted{
        "rope.positions_shifted",
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
