#pragma once

#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/explanation.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// Rows, scores and explanations that a test writes down itself, for what is computed from them.
namespace by_hand {

using namespace mla_scale;

/// Relative errors of a healthy kernel, of out and of lse.
inline constexpr double k_out_error = 0.01;
inline constexpr double k_lse_error = 0.001;

/// A row that sees one key, so that out is its value and lse its logit.
struct RowOf {
  std::int64_t head = 0;
  std::int64_t row = 0;
  double out_error = 0.0; ///< of every column, in a healthy kernel's errors
  double lse_error = 0.0; ///< the same of lse
  double logit = 0.0;
  std::size_t sequence = 0;
  std::size_t local = 0;
  std::size_t queries = 1;
  std::size_t visible = 1;
};

/// What is in the rows.
struct Captured {
  bool out = true;
  bool lse = false;
};

/// Rows of values that are 1 in every column, as the parts of the diagnosis see them.
struct Rows {
  explicit Rows(const std::vector<RowOf>& rows, Captured captured = {}, std::size_t width = 1,
                diagnose::Noise noise = healthy())
      : sample(sample_of(rows, captured, width)),
        predictor(sample, noise), context{problem, capture, expectation, sample, predictor,
                                          {},      {},      {},          {}} {
    problem.threads = 1;
    context.reference.scale = 1.0;
    for (std::size_t at = 0; at < rows.size(); ++at) {
      context.rows.push_back(at);
    }
    context.probe = context.rows;
    context.fit = context.rows;
  }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  static diagnose::Noise healthy() {
    diagnose::Noise noise;
    noise.out = k_out_error;
    noise.lse = k_lse_error;
    return noise;
  }

  reference::Problem problem;
  tensor::Capture capture;
  diagnose::Expectation expectation;
  diagnose::Sample sample;
  diagnose::Predictor predictor;
  diagnose::Context context;

private:
  static diagnose::Sample sample_of(const std::vector<RowOf>& rows, Captured captured,
                                    std::size_t width) {
    diagnose::Sample sample;
    sample.width = width;
    sample.any_out = captured.out;
    sample.any_lse = captured.lse;
    auto logits = std::make_shared<diagnose::LogitSet>();
    auto values = std::make_shared<diagnose::ValueSet>();
    for (const RowOf& of : rows) {
      diagnose::Row row;
      row.head = of.head;
      row.row = of.row;
      row.sequence = of.sequence;
      row.local = of.local;
      row.queries = of.queries;
      row.visible = of.visible;
      row.slot = sample.rows.size();
      row.offset = sample.rows.size();
      row.keys = 1;
      row.has_out = captured.out;
      row.has_lse = captured.lse;
      row.lse = of.logit + of.lse_error * k_lse_error * (1.0 + std::abs(of.logit));
      sample.rows.push_back(row);
      sample.slots.emplace_back(of.head, of.sequence);
      sample.out.insert(sample.out.end(), width, 1.0 + of.out_error * k_out_error);
      logits->nope.push_back(of.logit);
      logits->rope.push_back(0.0);
      values->values.emplace_back(width, 1.0);
      values->squared.push_back({static_cast<double>(width)});
    }
    sample.logits = std::move(logits);
    sample.values = std::move(values);
    return sample;
  }
};

/// An explanation that holds, by one identifier; by none when it is empty.
inline diagnose::Explanation explanation(const std::string& id, double total = 0.0,
                                         double cost = 0.0) {
  diagnose::Explanation one;
  if (!id.empty()) {
    one.candidate.parts.push_back({id, {}, "evidence of " + id});
  }
  one.candidate.cost = cost;
  one.total = total;
  one.score.likelihood = total + cost;
  one.score.out_ratio = 1.0;
  one.score.fine_ratio = 1.0;
  one.score.worst_head = 1.0;
  one.score.lse_ratio = 1.0;
  one.score.rows = 10;
  return one;
}

} // namespace by_hand
