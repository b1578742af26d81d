#include "support/catch.hpp"

#include <mla_scale/compare/conclude.hpp>
#include <mla_scale/core/number.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

using Lines = std::vector<std::string>;

/// What is concluded from these of out and lse.
Judgement concluded(Status out, Status lse, const Lines& out_reasons = {},
                    const Lines& lse_reasons = {}) {
  Judgement judgement;
  judgement.tensors.resize(2);
  judgement.tensors[0].name = "out";
  judgement.tensors[0].status = out;
  judgement.tensors[0].reasons = out_reasons;
  judgement.tensors[1].name = "lse";
  judgement.tensors[1].status = lse;
  judgement.tensors[1].reasons = lse_reasons;
  conclude(judgement);
  return judgement;
}

Judgement weakened(double resolution, const std::vector<RivalOutcome>& rivals = {}) {
  Judgement judgement;
  judgement.verdict = Verdict::match;
  judgement.reasons = {"another"};
  judgement.rivals = rivals;
  add_weakness(judgement, resolution);
  return judgement;
}

RivalOutcome outcome(const std::string& name, double scale, bool told_apart) {
  return {{name, scale}, told_apart, 0.0};
}

} // namespace

TEST_CASE("one wrong output is a mismatch, one right one and none wrong a match",
          "[compare][conclude]") {
  struct Row {
    Status first;
    Status second;
    Verdict verdict;
  };
  const std::vector<Row> rows = {
      {Status::match, Status::match, Verdict::match},
      {Status::match, Status::missing, Verdict::match},
      {Status::match, Status::mismatch, Verdict::mismatch},
      {Status::match, Status::not_finite, Verdict::mismatch},
      {Status::missing, Status::mismatch, Verdict::mismatch},
      {Status::missing, Status::not_finite, Verdict::mismatch},
      {Status::missing, Status::missing, Verdict::inconclusive},
      // Nothing makes up for an output that was never written.
      {Status::match, Status::empty, Verdict::inconclusive},
      {Status::match, Status::all_zero, Verdict::inconclusive},
      {Status::missing, Status::all_zero, Verdict::inconclusive},
      {Status::empty, Status::all_zero, Verdict::inconclusive},
      {Status::mismatch, Status::empty, Verdict::mismatch},
      {Status::not_finite, Status::all_zero, Verdict::mismatch},
  };
  for (const Row& row : rows) {
    INFO(to_string(row.first) << ", " << to_string(row.second));
    CHECK(concluded(row.first, row.second).verdict == row.verdict);
    CHECK(concluded(row.second, row.first).verdict == row.verdict);
  }
}

TEST_CASE("reasons name their output, and what was never written comes with advice",
          "[compare][conclude]") {
  const Judgement wrong = concluded(Status::mismatch, Status::all_zero, {"one", "two"}, {"three"});
  CHECK(wrong.reasons == Lines{"out: one", "out: two", "lse: three", "lse is all zero"});
  CHECK(wrong.advice == Lines{"save lse after the kernel has finished: nothing was written to it"});
  const Judgement empty = concluded(Status::empty, Status::match);
  CHECK(empty.reasons == Lines{"out is empty"});
  CHECK(empty.advice.size() == 1);
  const Judgement match = concluded(Status::match, Status::missing);
  CHECK(match.reasons.empty());
  CHECK(match.advice.empty());
  for (const Judgement& half : {concluded(Status::missing, Status::match), match}) {
    CHECK(half.reasons.empty());
  }
  const Judgement nothing = concluded(Status::missing, Status::missing);
  CHECK(nothing.reasons == Lines{"the capture has neither out nor lse"});
  CHECK(nothing.advice.size() == 1);
}

TEST_CASE("without rivals the inputs must tell the scale to better than 1 %",
          "[compare][conclude]") {
  const Judgement enough = weakened(0.00999);
  CHECK(enough.verdict == Verdict::match);
  CHECK(enough.reasons == Lines{"another"});
  CHECK(enough.advice.empty());
  const Judgement weak = weakened(0.01);
  CHECK(weak.verdict == Verdict::inconclusive);
  CHECK(weak.reasons == Lines{"these inputs tell the scale to no better than 1.0 %", "another"});
  CHECK(weak.advice.size() == 1);
  CHECK(weakened(0.5).reasons[0] == "these inputs tell the scale to no better than 50 %");
  CHECK(weakened(0.0999).reasons[0] == "these inputs tell the scale to no better than 10.0 %");
  CHECK(weakened(0.1).reasons[0] == "these inputs tell the scale to no better than 10 %");
  CHECK(weakened(0.999).reasons[0] == "these inputs tell the scale to no better than 100 %");
  // An error as large as the scale itself.
  for (const double nothing : {1.0, 1.5, k_infinity, std::nan("")}) {
    CHECK(weakened(nothing).verdict == Verdict::inconclusive);
    CHECK(weakened(nothing).reasons[0] == "these inputs do not tell the scale at all");
  }
}

TEST_CASE("with rivals it is they that must be told apart, however well the scale is told",
          "[compare][conclude]") {
  const auto apart = outcome("scale.latent_width", 0.25, true);
  CHECK(weakened(0.5, {apart}).verdict == Verdict::match);
  CHECK(weakened(0.5, {apart}).advice.empty());
  const Judgement weak = weakened(
      1e-9, {apart, outcome("scale.first", 0.125, false), outcome("scale.second", 0.5, false)});
  CHECK(weak.verdict == Verdict::inconclusive);
  CHECK(weak.reasons[0] == "these inputs cannot tell the right scale from scale.first (0.125)");
  CHECK(weak.advice.size() == 1);
}

TEST_CASE("outputs that were held against no floor are not judged", "[compare][conclude]") {
  Judgement judgement;
  for (const Status status :
       {Status::match, Status::not_finite, Status::missing, Status::empty, Status::all_zero}) {
    TensorComparison tensor;
    tensor.status = status;
    judgement.tensors.push_back(tensor);
  }
  leave_unjudged(judgement);
  std::vector<Status> left;
  for (const TensorComparison& tensor : judgement.tensors) {
    left.push_back(tensor.status);
  }
  CHECK(left
        == std::vector<Status>{Status::not_judged, Status::not_judged, Status::missing,
                               Status::empty, Status::all_zero});
}
