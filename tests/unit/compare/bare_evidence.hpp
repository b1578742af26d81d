#pragma once

#include "support/tensors.hpp"

#include <mla_scale/compare/level_test.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

/// Evidence without rows, for what is decided by results and fits that a test writes down itself.
struct BareEvidence {
  explicit BareEvidence(std::int64_t v_width = 1, std::size_t sample_count = 0)
      : problem(of_width(v_width)), buckets(problem),
        samples(sample_count), evidence{
                                   problem,
                                   errors,
                                   buckets,
                                   samples,
                                   {mla_scale::tensor::Dtype::bf16, mla_scale::tensor::Dtype::bf16},
                                   mla_scale::tensor::Dtype::f32,
                                   {},
                                   {},
                                   {}} {}
  BareEvidence(const BareEvidence&) = delete;
  BareEvidence& operator=(const BareEvidence&) = delete;

  static mla_scale::reference::Problem of_width(std::int64_t v_width) {
    mla_scale::reference::Problem problem;
    problem.q = tensors::view({1.0}, 1, 1, 1);
    problem.k = tensors::view({1.0}, 1, 1, 1);
    problem.v =
        tensors::view(std::vector<double>(static_cast<std::size_t>(v_width)), 1, 1, v_width);
    problem.sequences = {{0, 1, 0, 1}};
    problem.softmax_scale = 1.0;
    return problem;
  }

  mla_scale::reference::Problem problem;
  mla_scale::compare::CaptureErrors errors;
  mla_scale::compare::PositionBuckets buckets;
  std::vector<mla_scale::compare::RowSample> samples;
  mla_scale::compare::Evidence evidence;
};
