// Each test stands for a comparer in use that lets the fault pass.
#include "support/catch.hpp"
#include "support/kernel.hpp"

#include <mla_scale/compare/judge.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

Judgement judged(const tensors::Capture& capture, double scale = kernel::k_scale) {
  const auto problem = reference::make_problem(capture, reference::Form::expanded, scale, 64);
  REQUIRE(problem.has_value());
  auto judgement = judge(*problem, capture);
  REQUIRE(judgement.has_value());
  for (const std::string& reason : judgement->reasons) {
    UNSCOPED_INFO(reason);
  }
  return *judgement;
}

kernel::Run healthy(const kernel::Shape& shape = {96, 96, 4}) {
  kernel::Run run = kernel::inputs(shape);
  kernel::attend(run, {kernel::k_scale});
  return run;
}

} // namespace

TEST_CASE("one NaN or infinity is a mismatch (gemma.cpp AssertClose, benchdnn MAX2)", "[holes]") {
  for (const double value : {std::nan(""), std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity()}) {
    kernel::Run run = healthy();
    run.out_at(40, 2, 7) = value;
    const Judgement judgement = judged(run.capture());
    CHECK(judgement.verdict == Verdict::mismatch);
    CHECK(judgement.tensors[0].status == Status::not_finite);
    REQUIRE(!judgement.tensors[0].worst.empty());
    CHECK(judgement.tensors[0].worst[0].index == std::array<std::int64_t, 3>{40, 2, 7});
    CHECK(std::isfinite(judgement.tensors[0].sums.max_abs));
    kernel::Run lse = healthy();
    lse.lse_at(40, 2) = value;
    CHECK(judged(lse.capture()).verdict == Verdict::mismatch);
  }
}

TEST_CASE("every output NaN is a mismatch, not a pass by 0/0", "[holes]") {
  kernel::Run run = healthy();
  std::fill(run.out.begin(), run.out.end(), std::nan(""));
  run.lse.clear();
  CHECK(judged(run.capture()).verdict == Verdict::mismatch);
}

TEST_CASE("negative pairs are compared by their difference (gemma.cpp AssertClose)", "[holes]") {
  kernel::Run run = healthy();
  for (double& x : run.v) {
    x = -std::abs(x);
  }
  kernel::attend(run, {kernel::k_scale});
  for (std::int64_t c = 0; c < run.shape.v; ++c) {
    run.out_at(50, 1, c) *= 5.0;
  }
  CHECK(judged(run.capture()).verdict == Verdict::mismatch);
}

TEST_CASE("a missing output is not a pass (Polygraphy, SGLang comparator)", "[holes]") {
  kernel::Run run = healthy();
  run.out.clear();
  run.lse.clear();
  const Judgement judgement = judged(run.capture());
  CHECK(judgement.verdict == Verdict::inconclusive);
  CHECK(judgement.tensors[0].status == Status::missing);
  CHECK(!judgement.advice.empty());
}

TEST_CASE("an output that was never written is inconclusive (benchdnn MISTRUSTED)", "[holes]") {
  kernel::Run run = healthy();
  std::fill(run.out.begin(), run.out.end(), 0.0);
  CHECK(judged(run.capture()).verdict == Verdict::inconclusive);
  CHECK(judged(run.capture()).tensors[0].status == Status::all_zero);
  // A zero head among others is a mismatch.
  kernel::Run head = healthy();
  for (std::int64_t row = 0; row < 96; ++row) {
    for (std::int64_t c = 0; c < 128; ++c) {
      head.out_at(row, 3, c) = 0.0;
    }
  }
  CHECK(judged(head.capture()).verdict == Verdict::mismatch);
}

TEST_CASE("a reference of zeros does not pass by 0/0 (ggml nmse, FlashMLA get_cos_diff)",
          "[holes]") {
  kernel::Run run = healthy();
  std::fill(run.v.begin(), run.v.end(), 0.0);
  std::fill(run.out.begin(), run.out.end(), 0.0);
  run.out_at(3, 0, 5) = 0.01;
  CHECK(judged(run.capture()).verdict == Verdict::mismatch);
  run.out_at(3, 0, 5) = 0.0;
  CHECK(judged(run.capture()).verdict == Verdict::match); // by its lse
  run.lse.clear();
  CHECK(judged(run.capture()).verdict == Verdict::inconclusive);
}

TEST_CASE("a scale 1.87 times off on flat logits is rejected (Ascend msprobe's rule passes it)",
          "[holes]") {
  // Logits of deviation 0.3, where cosine is above 0.99 and max abs below 1.
  kernel::Run run = kernel::inputs({256, 256, 1}, 0.16);
  kernel::attend(run, {kernel::k_scale / 1.87385});
  run.lse.clear();
  const Judgement judgement = judged(run.capture());
  CHECK(judgement.verdict == Verdict::mismatch);
  CHECK(judgement.tensors[0].sums.calc_diff() < 0.01);
  CHECK(judgement.tensors[0].sums.max_abs < 1.0);
}

TEST_CASE("a gain that correlation cannot see is rejected (tt-metal PCC)", "[holes]") {
  kernel::Run run = healthy();
  for (double& x : run.out) {
    x = kernel::to_bf16(1.05 * x);
  }
  CHECK(judged(run.capture()).verdict == Verdict::mismatch);
}

TEST_CASE("one bad head, row or tail page among many is seen (global metrics)", "[holes]") {
  kernel::Run clean = healthy({128, 128, 8});
  SECTION("a head with its scale off by 5 %") {
    kernel::Run other = kernel::inputs({128, 128, 8});
    kernel::attend(other, {1.05 * kernel::k_scale});
    for (std::int64_t row = 0; row < 128; ++row) {
      for (std::int64_t c = 0; c < 128; ++c) {
        clean.out_at(row, 5, c) = other.out_at(row, 5, c);
      }
    }
    const Judgement judgement = judged(clean.capture());
    CHECK(judgement.verdict == Verdict::mismatch);
    for (const GroupError& head : judgement.tensors[0].by_head) {
      CHECK(head.bad == (head.first == 5));
    }
  }
  SECTION("one row of one head") {
    for (std::int64_t c = 0; c < 128; ++c) {
      clean.out_at(77, 3, c) = kernel::to_bf16(1.02 * clean.out_at(77, 3, c));
    }
    CHECK(judged(clean.capture()).verdict == Verdict::mismatch);
  }
  SECTION("one element") {
    clean.out_at(100, 6, 31) += 0.05;
    CHECK(judged(clean.capture()).verdict == Verdict::mismatch);
  }
  SECTION("the last page of rows reads a neighbour") {
    for (std::int64_t row = 124; row < 128; ++row) {
      for (std::int64_t head = 0; head < 8; ++head) {
        for (std::int64_t c = 0; c < 128; ++c) {
          clean.out_at(row, head, c) = clean.out_at(row - 4, head, c);
        }
      }
    }
    const Judgement judgement = judged(clean.capture());
    CHECK(judgement.verdict == Verdict::mismatch);
    CHECK(judgement.tensors[0].by_position.back().bad);
    CHECK(!judgement.tensors[0].by_position[3].bad);
  }
  SECTION("two heads swapped") {
    for (std::int64_t row = 0; row < 128; ++row) {
      for (std::int64_t c = 0; c < 128; ++c) {
        std::swap(clean.out_at(row, 1, c), clean.out_at(row, 2, c));
      }
    }
    CHECK(judged(clean.capture()).verdict == Verdict::mismatch);
  }
}

TEST_CASE("inputs with NaN are not blamed on the kernel", "[holes]") {
  kernel::Run run = healthy();
  run.q[static_cast<std::size_t>(50 * 4 * 192)] = std::nan("");
  const Judgement judgement = judged(run.capture());
  CHECK(judgement.verdict == Verdict::inconclusive);
  CHECK(judgement.tensors[0].status == Status::not_judged);
  // One element of one query is one row of one head.
  CHECK(judgement.reasons
        == std::vector<std::string>{"the captured inputs give no finite attention for 1 rows: they "
                                    "hold NaN or infinities"});
}

TEST_CASE("vLLM's own unit test accepts 576^-1/2 and this does not", "[holes]") {
  // tests/v1/attention/test_mla_backends.py at 015c13d: randn inputs, the reference's scale taken
  // from the latent width as the backend's, and assert_close with rtol 1e-2, atol 0.5. With q, k of
  // the test's kind the error of the wrong scale stays below that bound.
  const double right = std::pow(192.0, -0.5);
  const double wrong = 1.0 / 24.0;
  kernel::Run run = kernel::inputs({256, 512, 2}, 0.5);
  for (double& x : run.v) {
    x = kernel::to_bf16(0.25 * x);
  }
  kernel::Run expected = run;
  kernel::attend(expected, {right});
  kernel::attend(run, {wrong});
  double worst = -1.0;
  for (std::size_t i = 0; i < run.out.size(); ++i) {
    worst =
        std::max(worst, std::abs(run.out[i] - expected.out[i]) - 1e-2 * std::abs(expected.out[i]));
  }
  CHECK(worst < 0.5); // their test passes
  run.lse.clear();
  const Judgement judgement = judged(run.capture(), right);
  CHECK(judgement.verdict == Verdict::mismatch);
  REQUIRE(judgement.fit.has_value());
  CHECK(judgement.fit->softmax_scale == Approx(wrong).epsilon(1e-3));
}
