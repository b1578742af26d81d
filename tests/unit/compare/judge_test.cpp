#include "support/catch.hpp"
#include "support/kernel.hpp"

#include <mla_scale/compare/judge.hpp>

#include <cmath>
#include <limits>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

Judgement judged(const kernel::Run& run, double scale = kernel::k_scale,
                 const std::vector<Rival>& rivals = {}) {
  const auto capture = run.capture();
  const auto problem =
      reference::make_problem(capture, reference::Form::expanded, scale, run.shape.rope);
  REQUIRE(problem.has_value());
  JudgeOptions options;
  options.rivals = rivals;
  auto judgement = judge(*problem, capture, options);
  REQUIRE(judgement.has_value());
  for (const std::string& reason : judgement->reasons) {
    UNSCOPED_INFO(reason);
  }
  return *judgement;
}

kernel::Kernel eager(double scale = kernel::k_scale) {
  kernel::Kernel kernel{scale};
  kernel.logit = kernel::to_bf16;
  return kernel;
}

} // namespace

TEST_CASE("healthy kernels of several kinds match at their own level", "[compare]") {
  for (const kernel::Shape& shape : {kernel::Shape{96, 96, 2}, kernel::Shape{48, 160, 3},
                                     kernel::Shape{1, 200, 4}, kernel::Shape{2, 2, 4}}) {
    kernel::Run run = kernel::inputs(shape);
    kernel::attend(run, {kernel::k_scale});
    CHECK(judged(run).verdict == Verdict::match);
    kernel::attend(run, eager());
    const Judgement coarse = judged(run);
    CHECK(coarse.verdict == Verdict::match);
    kernel::Kernel single{kernel::k_scale};
    single.probability = kernel::exact;
    kernel::attend(run, single);
    CHECK(judged(run).verdict == Verdict::match);
    single.output = kernel::to_f32;
    kernel::attend(run, single);
    CHECK(judged(run).verdict == Verdict::match);
  }
}

TEST_CASE("logits in bf16 are told from probabilities in bf16", "[compare]") {
  kernel::Run run = kernel::inputs({96, 96, 2});
  kernel::attend(run, {kernel::k_scale});
  CHECK(judged(run).level == Level::flash);
  CHECK(judged(run).notes.empty());
  kernel::attend(run, eager());
  CHECK(judged(run).level == Level::eager);
  CHECK(judged(run).notes == std::vector<std::string>{"precision.bf16_logits"});
  run.lse.clear();
  CHECK(judged(run).verdict == Verdict::match);
  CHECK(judged(run).level == Level::eager);
}

TEST_CASE("an eager kernel whose scale was rounded to bf16 is healthy", "[compare]") {
  kernel::Run run = kernel::inputs({128, 128, 2});
  kernel::attend(run, eager(kernel::to_bf16(kernel::k_scale))); // 0.135742, 0.38 % off
  CHECK(std::abs(kernel::to_bf16(kernel::k_scale) / kernel::k_scale - 1) < 1.0 / 256);
  CHECK(judged(run).verdict == Verdict::match);
}

TEST_CASE("an eager kernel of the right scale is not said to have rounded it", "[compare]") {
  for (const kernel::Shape& shape : {kernel::Shape{96, 96, 2}, kernel::Shape{2, 2, 4},
                                     kernel::Shape{1, 200, 4}, kernel::Shape{6, 6, 1}}) {
    kernel::Run run = kernel::inputs(shape);
    kernel::attend(run, eager());
    const Judgement judgement = judged(run);
    CHECK(judgement.verdict == Verdict::match);
    for (const std::string& note : judgement.notes) {
      INFO(note);
      CHECK(note.find("was rounded to") == std::string::npos);
    }
  }
}

TEST_CASE("a scale that another rounds to is that other only in a kernel that rounds its logits",
          "[compare]") {
  // 256^-1/2 = 2^-4, which every 16-bit float holds, and 0.1 % off it.
  constexpr double k_power = 0.0625;
  kernel::Run run = kernel::inputs({64, 88, 2, 192, 64, 64}, 0.5);
  kernel::Kernel whole{k_power};
  whole.probability = kernel::exact;
  whole.output = kernel::to_f32;
  for (const double wrong : {0.999 * k_power, 1.001 * k_power}) {
    kernel::attend(run, whole);
    CHECK(judged(run, wrong).verdict == Verdict::mismatch);
    run.lse.clear();
    CHECK(judged(run, wrong).verdict == Verdict::mismatch);
    kernel::attend(run, eager(k_power));
    CHECK(judged(run, wrong).verdict == Verdict::match);
  }
}

TEST_CASE("wrong scales are seen from out alone and from lse alone", "[compare]") {
  kernel::Run run = kernel::inputs({96, 96, 2});
  for (const double ratio : {0.30811, 0.53366, 0.7305, 1.87385, 0.69315, 1.02, 0.995}) {
    kernel::attend(run, {kernel::k_scale * ratio});
    const Judgement both = judged(run);
    CHECK(both.verdict == Verdict::mismatch);
    REQUIRE(both.fit.has_value());
    CHECK(both.fit->from == "lse");
    CHECK(both.fit->ratio == Approx(ratio).epsilon(1e-5));
    kernel::Run only_out = run;
    only_out.lse.clear();
    CHECK(judged(only_out).verdict == Verdict::mismatch);
    kernel::Run only_lse = run;
    only_lse.out.clear();
    CHECK(judged(only_lse).verdict == Verdict::mismatch);
  }
}

TEST_CASE("a scale wrong by 0.1 % is seen under noise that is twice as large", "[compare]") {
  kernel::Run run = kernel::inputs({192, 192, 4}, 0.55);
  kernel::attend(run, {kernel::k_scale * 1.001});
  run.lse.clear();
  const Judgement judgement = judged(run);
  CHECK(judgement.verdict == Verdict::mismatch);
  CHECK(judgement.tensors[0].sums.relative_rms() < 2.5e-3);
}

TEST_CASE("a scale wrong by 0.01 % is seen from lse", "[compare]") {
  kernel::Run run = kernel::inputs({192, 192, 4}, 0.55);
  kernel::attend(run, {kernel::k_scale * 1.0001});
  CHECK(judged(run).verdict == Verdict::mismatch);
  kernel::attend(run, {kernel::k_scale * 1.000001});
  CHECK(judged(run).verdict == Verdict::match);
}

TEST_CASE("errors that no scale makes are mismatches too", "[compare]") {
  kernel::Run run = kernel::inputs({96, 128, 2});
  kernel::Kernel kernel{kernel::k_scale};
  SECTION("a sink that takes a little of every row") {
    kernel.sink = 0.0;
  }
  SECTION("one key too few") {
    kernel.visible = [](std::int64_t, std::int64_t n) { return n - 1; };
  }
  SECTION("one key too many") {
    kernel.visible = [](std::int64_t, std::int64_t n) { return n + 1; };
  }
  SECTION("no mask") {
    kernel.visible = [](std::int64_t, std::int64_t) { return std::int64_t{128}; };
  }
  SECTION("a gain of 1 % on the output") {
    kernel.output = [](double x) { return kernel::to_bf16(1.01 * x); };
  }
  SECTION("an lse in base 2") {
    kernel.lse = [](double x) { return kernel::to_f32(x / std::log(2.0)); };
  }
  SECTION("an lse that is 0.001 too large") {
    kernel.lse = [](double x) { return kernel::to_f32(x + 0.001); };
  }
  kernel::attend(run, kernel);
  CHECK(judged(run).verdict == Verdict::mismatch);
}

TEST_CASE("a base-2 lse that the capture declares is right", "[compare]") {
  kernel::Run run = kernel::inputs({64, 64, 2});
  kernel::Kernel kernel{kernel::k_scale};
  kernel.lse = [](double x) { return kernel::to_f32(x / std::log(2.0)); };
  kernel::attend(run, kernel);
  auto capture = run.capture();
  capture.lse_base = tensor::LseBase::two;
  const auto problem =
      reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 64);
  const auto judgement = judge(*problem, capture);
  REQUIRE(judgement.has_value());
  CHECK(judgement->verdict == Verdict::match);
}

TEST_CASE("inputs that cannot tell rivals apart are inconclusive", "[compare]") {
  const std::vector<Rival> rivals = {{"scale.mscale_omitted", 0.07216878364870323},
                                     {"scale.latent_width", 1.0 / 24}};
  SECTION("one key a row") {
    kernel::Run run = kernel::inputs({1, 1, 4});
    kernel::attend(run, {kernel::k_scale});
    run.lse.clear();
    const Judgement judgement = judged(run, kernel::k_scale, rivals);
    CHECK(judgement.verdict == Verdict::inconclusive);
    CHECK(!judgement.advice.empty());
    CHECK(judged(run).verdict == Verdict::inconclusive);
  }
  SECTION("values that are all the same") {
    kernel::Run run = kernel::inputs({32, 32, 2});
    for (std::size_t i = 0; i < run.v.size(); ++i) {
      run.v[i] = run.v[i % 128];
    }
    kernel::attend(run, {kernel::k_scale});
    run.lse.clear();
    CHECK(judged(run, kernel::k_scale, rivals).verdict == Verdict::inconclusive);
  }
  SECTION("logits that are nearly flat") {
    kernel::Run run = kernel::inputs({32, 32, 2}, 1e-5);
    kernel::attend(run, {kernel::k_scale});
    run.lse.clear();
    CHECK(judged(run, kernel::k_scale, rivals).verdict == Verdict::inconclusive);
  }
  SECTION("one key a row, but with its lse") {
    kernel::Run run = kernel::inputs({1, 1, 4});
    kernel::attend(run, {kernel::k_scale});
    CHECK(judged(run, kernel::k_scale, rivals).verdict == Verdict::match);
  }
}

TEST_CASE("the verdict does not depend on the number of threads", "[compare]") {
  kernel::Run run = kernel::inputs({96, 96, 3});
  kernel::attend(run, {kernel::k_scale * 1.01});
  const auto capture = run.capture();
  auto problem = *reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 64);
  problem.threads = 1;
  const Judgement one = *judge(problem, capture);
  problem.threads = 3;
  const Judgement three = *judge(problem, capture);
  CHECK(one.reasons == three.reasons);
  CHECK(one.tensors[0].sums.error_squared == three.tensors[0].sums.error_squared);
  CHECK(one.tensors[0].map == three.tensors[0].map);
  CHECK(one.fit->softmax_scale == three.fit->softmax_scale);
}

TEST_CASE("a wrong scale is no rounding, however few rows show it and however small it is",
          "[compare]") {
  for (const kernel::Shape& shape : {kernel::Shape{17, 17, 1}, kernel::Shape{64, 64, 2}}) {
    kernel::Run run = kernel::inputs(shape);
    for (const double ratio : {1.00005, 1.0003, 1.001, 1.003, 0.998}) {
      INFO(shape.queries << " rows, " << ratio);
      kernel::attend(run, {kernel::k_scale * ratio});
      CHECK(judged(run).verdict == Verdict::mismatch);
    }
    run = kernel::inputs(shape);
    kernel::attend(run, eager());
    CHECK(judged(run).verdict == Verdict::match);
    kernel::attend(run, eager(kernel::to_bf16(kernel::k_scale)));
    CHECK(judged(run).verdict == Verdict::match);
  }
  kernel::Run run = kernel::inputs({30, 30, 2});
  kernel::attend(run, {kernel::k_scale * 1.003});
  run.lse.clear();
  CHECK(judged(run).verdict == Verdict::mismatch);
}

TEST_CASE("a sink is no scale that was rounded", "[compare]") {
  kernel::Run run = kernel::inputs({64, 164, 2});
  for (const double sink : {0.5, 1.5, 3.0}) {
    kernel::Kernel kernel{kernel::k_scale};
    kernel.sink = sink;
    kernel::attend(run, kernel);
    run.lse.clear();
    INFO("sink " << sink);
    CHECK(judged(run).verdict == Verdict::mismatch);
  }
}

TEST_CASE("kernels that round logits once or sum rounded probabilities are healthy", "[compare]") {
  for (const double deviation : {0.5, 1.0, 2.0}) {
    kernel::Run run = kernel::inputs({96, 160, 3}, deviation);
    kernel::Kernel once = eager();
    once.rounds_product = false; // torch.baddbmm with alpha, as Megatron-LM calls it
    kernel::attend(run, once);
    INFO("deviation " << deviation);
    CHECK(judged(run).verdict == Verdict::match);
    CHECK(judged(run).notes == std::vector<std::string>{"precision.bf16_logits"});
    kernel::Kernel sum{kernel::k_scale};
    sum.sums_rounded = true; // values with a column of ones
    kernel::attend(run, sum);
    CHECK(judged(run).verdict == Verdict::match);
    CHECK(judged(run).level == Level::rounded_sum);
    sum.lse = [](double x) { return kernel::to_f32(x + 0.001); };
    kernel::attend(run, sum);
    CHECK(judged(run).verdict == Verdict::mismatch);
  }
}

TEST_CASE("rows that see one key get the floor of one rounded logit", "[compare]") {
  // One number a row: near the exact one by luck here, three deviations away there.
  kernel::Run run = kernel::inputs({64, 64, 64}, 0.3);
  kernel::Run rounded = run;
  for (double& x : rounded.q) {
    x = kernel::to_bf16(kernel::k_scale * x);
  }
  kernel::attend(rounded, {1.0});
  run.out = rounded.out;
  run.lse = rounded.lse;
  CHECK(judged(run).verdict == Verdict::match);
  CHECK(judged(run).level == Level::rounded_query);
}

TEST_CASE("a scale wrong by 0.1 % is seen under logits in bf16", "[compare]") {
  kernel::Run run = kernel::inputs({192, 192, 4});
  for (const double ratio : {1.001, 0.999}) {
    kernel::attend(run, eager(kernel::k_scale * ratio));
    CHECK(judged(run).verdict == Verdict::mismatch);
  }
}

TEST_CASE("probabilities that all round the same way are no wrong scale, and hide one",
          "[compare]") {
  // Logits within one step of bf16, 2^-8 below 1: exp(logit - maximum) is 1 for nearly every key.
  const std::vector<Rival> rivals = {{"scale.mscale_omitted", 0.07216878364870323},
                                     {"scale.latent_width", 1.0 / 24}};
  for (const double deviation : {3e-3, 1e-3, 3e-4, 1e-4, 1e-5}) {
    for (const bool sums_rounded : {false, true}) {
      INFO("deviation " << deviation << (sums_rounded ? ", rounded sums" : ""));
      kernel::Run run = kernel::inputs({96, 96, 4}, deviation);
      kernel::Kernel kernel{kernel::k_scale};
      kernel.sums_rounded = sums_rounded;
      kernel::attend(run, kernel);
      CHECK(judged(run, kernel::k_scale, rivals).verdict != Verdict::mismatch);
      run.lse.clear();
      const Judgement healthy = judged(run, kernel::k_scale, rivals);
      CHECK(healthy.verdict == (deviation > 2e-3 ? Verdict::match : Verdict::inconclusive));
      CHECK((deviation > 2e-3 || !healthy.advice.empty()));
      kernel.scale = 1.0 / 24;
      kernel::attend(run, kernel);
      run.lse.clear();
      CHECK(judged(run, kernel::k_scale, rivals).verdict != Verdict::match);
    }
  }
}

TEST_CASE("probabilities cut to bf16 are told from rounded ones and from a gain", "[compare]") {
  // A cut number is 2^-8 · E[1/m] = 0.28 % too small on average, m a significand in [1, 2).
  for (const kernel::Shape& shape : {kernel::Shape{96, 96, 2}, kernel::Shape{48, 160, 3}}) {
    kernel::Run run = kernel::inputs(shape);
    kernel::Kernel kernel{kernel::k_scale};
    kernel.probability = kernel::cut_to_bf16;
    kernel::attend(run, kernel);
    const Judgement cut = judged(run);
    CHECK(cut.verdict == Verdict::match);
    CHECK(cut.level == Level::flash_cut);
    CHECK(cut.notes == std::vector<std::string>{"precision.truncated_probabilities"});
    for (const double gain : {1.0028, 0.9945, 0.9958}) {
      INFO("gain " << gain);
      kernel = {kernel::k_scale};
      kernel.output = [gain](double x) { return kernel::to_bf16(gain * x); };
      kernel::attend(run, kernel);
      CHECK(judged(run).verdict == Verdict::mismatch);
    }
    kernel = {1.003 * kernel::k_scale};
    kernel.probability = kernel::cut_to_bf16;
    kernel::attend(run, kernel);
    CHECK(judged(run).verdict == Verdict::mismatch);
  }
}

TEST_CASE("a scale wrong by 0.1 % is no cut of probabilities, whichever side it errs on",
          "[compare]") {
  // Too large a scale takes from small probabilities as a cut does; S=192, 4 heads, out alone.
  for (const double deviation : {0.55, 1.0}) {
    kernel::Run run = kernel::inputs({192, 192, 4}, deviation);
    for (const bool cuts : {false, true}) {
      kernel::Kernel kernel{kernel::k_scale};
      kernel.probability = cuts ? kernel::cut_to_bf16 : kernel::to_bf16;
      kernel::attend(run, kernel);
      run.lse.clear();
      INFO("deviation " << deviation << (cuts ? ", cut" : ""));
      CHECK(judged(run).verdict == Verdict::match);
      CHECK((judged(run).level == Level::flash_cut) == cuts);
    }
    for (const double ratio :
         {0.998, 0.9985, 0.9988, 0.999, 1.0005, 1.0008, 1.001, 1.0012, 1.0015, 1.002}) {
      INFO("deviation " << deviation << ", ratio " << ratio);
      kernel::attend(run, {kernel::k_scale * ratio});
      run.lse.clear();
      CHECK(judged(run).verdict == Verdict::mismatch);
    }
  }
}

TEST_CASE("an output of one element is judged, and one of which half is missing is not empty",
          "[judge]") {
  kernel::Run one = kernel::inputs({1, 1, 1, 4, 2, 1});
  kernel::attend(one, {kernel::k_scale});
  const Judgement healthy = judged(one);
  CHECK(healthy.tensors[0].status == Status::match);
  CHECK(healthy.tensors[1].status == Status::match);
  CHECK(healthy.reasons.empty());
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double value : {std::nan(""), infinity}) {
    kernel::Run run = kernel::inputs({4, 4, 1, 4, 2, 2});
    kernel::attend(run, {kernel::k_scale});
    for (std::int64_t row = 0; row < 4; ++row) {
      run.out_at(row, 0, 0) = value;
    }
    run.lse = {std::nan(""), infinity, std::nan(""), infinity};
    const Judgement judgement = judged(run);
    CHECK(judgement.verdict == Verdict::mismatch);
    CHECK(judgement.tensors[0].status == Status::not_finite);
    CHECK(judgement.tensors[1].status == Status::not_finite);
    CHECK(judgement.reasons[0]
          == (std::isnan(value) ? "out: 4 NaN and 0 infinite of 8 elements"
                                : "out: 0 NaN and 4 infinite of 8 elements"));
  }
}

TEST_CASE("a rival whose scale is not positive is told apart", "[judge]") {
  kernel::Run run = kernel::inputs({24, 24, 1, 16, 8, 16}, 2.0);
  kernel::attend(run, {kernel::k_scale});
  const Judgement judgement = judged(run, kernel::k_scale, {{"negative", -kernel::k_scale}});
  CHECK(judgement.verdict == Verdict::match);
  REQUIRE(judgement.rivals.size() == 1);
  CHECK(judgement.rivals[0].told_apart);
}

TEST_CASE("what a coarser kernel may do is wrong in a finer one", "[judge]") {
  // All in float32 but for one row, whose error a kernel with probabilities in bf16 may have.
  kernel::Run run = kernel::inputs({32, 32, 1, 16, 8, 16}, 2.0);
  kernel::Kernel whole{kernel::k_scale};
  whole.probability = kernel::exact;
  whole.output = kernel::to_f32;
  kernel::attend(run, whole);
  run.lse.clear();
  CHECK(judged(run).verdict == Verdict::match);
  for (std::int64_t column = 0; column < run.shape.v; ++column) {
    run.out_at(20, 0, column) *= 1.0 + 0x1p-13;
  }
  CHECK(judged(run).verdict == Verdict::mismatch);
  CHECK(judged(run).level == Level::exact);
}

TEST_CASE("the reason of a wrong scale says how far it is off, in percent and in errors of the fit",
          "[judge]") {
  for (const double factor : {1.05, 0.9}) {
    kernel::Run run = kernel::inputs({96, 96, 2});
    kernel::attend(run, {factor * kernel::k_scale});
    const Judgement judgement = judged(run);
    REQUIRE(judgement.fit_from_out);
    REQUIRE_FALSE(judgement.reasons.empty());
    const std::string& reason = judgement.reasons.front();
    const auto number_after = [&](const std::string& words) {
      const auto at = reason.find(words);
      REQUIRE(at != std::string::npos);
      return std::stod(reason.substr(at + words.size()));
    };
    CHECK(number_after(" is ") == Approx(factor * kernel::k_scale).epsilon(1e-4));
    CHECK(number_after(", ") == Approx(100.0 * (factor - 1.0)).epsilon(0.01));
    CHECK(number_after("% from ") == Approx(kernel::k_scale));
    const double errors = std::abs(judgement.fit_from_out->softmax_scale - kernel::k_scale)
                          / judgement.fit_from_out->standard_error;
    CHECK(number_after("(") == Approx(errors).epsilon(0.01));
  }
}

TEST_CASE("a rounded scale excuses nothing else", "[judge]") {
  kernel::Run run = kernel::inputs({64, 64, 1, 64, 32, 32});
  kernel::attend(run, eager(kernel::to_bf16(kernel::k_scale)));
  REQUIRE(judged(run).verdict == Verdict::match);
  CHECK(judged(run).notes.size() == 2); // logits in bf16, and the scale
  for (std::int64_t column = 0; column < run.shape.v; ++column) {
    run.out_at(50, 0, column) *= 1.5;
  }
  const Judgement judgement = judged(run);
  CHECK(judgement.verdict == Verdict::mismatch);
  CHECK(judgement.notes.empty());
}

TEST_CASE("what no level explains is held against the loosest", "[judge]") {
  kernel::Run run = kernel::inputs({32, 32, 1, 16, 8, 16}, 2.0);
  kernel::attend(run, {kernel::k_scale});
  for (double& x : run.out) {
    x = kernel::to_bf16(1.5 * x);
  }
  run.lse.clear();
  CHECK(judged(run).verdict == Verdict::mismatch);
  CHECK(judged(run).level == Level::eager);
}

TEST_CASE("a wrong scale is no cut of probabilities in a kernel that sums rounded ones",
          "[judge]") {
  // Out alone, where a scale too small by 0.1 % and less takes about what a cut does.
  for (const auto& [deviation, ratio] : {std::pair(2.0, 0.999), std::pair(4.0, 0.9995)}) {
    INFO("deviation " << deviation << ", ratio " << ratio);
    kernel::Run run = kernel::inputs({64, 64, 2, 32, 16, 32}, deviation);
    kernel::Kernel sum{kernel::k_scale * ratio};
    sum.sums_rounded = true;
    kernel::attend(run, sum);
    run.lse.clear();
    const Judgement judgement = judged(run);
    CHECK(judgement.verdict == Verdict::mismatch);
    CHECK(judgement.level == Level::rounded_sum);
  }
}

TEST_CASE("small logits in bf16, which out hardly shows, are healthy by their lse", "[judge]") {
  // The level that is nearest by out alone, probabilities in bf16, does not explain the lse.
  for (const std::uint64_t seed : {12U, 23U, 67U}) {
    INFO("seed " << seed);
    kernel::Run run = kernel::inputs({24, 24, 1, 16, 8, 16}, 0.1, seed);
    kernel::attend(run, eager());
    const Judgement judgement = judged(run);
    CHECK(judgement.verdict == Verdict::match);
    CHECK(changes_lse(judgement.level));
  }
}

TEST_CASE("a wrong scale in a kernel that cuts probabilities is a mismatch at the level of the cut",
          "[judge]") {
  // At its own scale the capture is one of cut probabilities; at 1.005 of it no level passes but
  // one that rounds more.
  kernel::Run run = kernel::inputs({8, 40, 1, 16, 8, 8}, 4.0, 511);
  kernel::Kernel cut{0.995 * kernel::k_scale};
  cut.probability = kernel::cut_to_bf16;
  kernel::attend(run, cut);
  const Judgement judgement = judged(run);
  CHECK(judgement.verdict == Verdict::mismatch);
  CHECK(judgement.level == Level::flash_cut);
  CHECK_FALSE(judgement.reasons.empty());
}

TEST_CASE("a scale fitted to an lse of float32 is uncertain by what float32 does to all rows alike",
          "[judge]") {
  kernel::Run run = kernel::inputs({24, 24, 1, 16, 8, 16}, 1.0);
  kernel::Kernel whole{kernel::k_scale};
  whole.probability = kernel::exact;
  whole.output = kernel::to_f32;
  for (const bool single : {true, false}) {
    whole.lse = single ? kernel::to_f32 : kernel::exact;
    kernel::attend(run, whole);
    const auto capture = run.capture();
    const auto problem =
        reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 8);
    const auto plain =
        fit_scale_from_lse(*problem, capture, sample_logits(*problem, sample_rows(*problem, 100)));
    const Judgement judgement = judged(run);
    REQUIRE(judgement.fit.has_value());
    CHECK(judgement.fit->from == "lse");
    CHECK(judgement.fit->standard_error
          == Approx(std::hypot(plain->standard_error, single ? 1e-6 * kernel::k_scale : 0.0))
                 .epsilon(1e-6));
  }
}

TEST_CASE("a scale fitted to few rows of out is as uncertain as a healthy kernel's columns let it "
          "be",
          "[judge]") {
  // The very reference: what is left of the error is a healthy kernel's noise of one of 16 columns,
  // over the root of what the rows tell.
  kernel::Run run = kernel::inputs({6, 6, 1, 16, 8, 16}, 0.3);
  kernel::Kernel whole{kernel::k_scale};
  whole.probability = kernel::exact;
  whole.output = kernel::exact;
  kernel::attend(run, whole);
  run.lse.clear();
  const auto capture = run.capture();
  const auto problem =
      reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 8);
  const auto samples = sample_logits(*problem, sample_rows(*problem, 100));
  const Judgement judgement = judged(run);
  CHECK(judgement.level == Level::exact);
  double squared = 0.0;
  const auto floors = simulate_floors(*problem, samples, {Level::exact}, judgement.dtypes);
  for (const RowFloor& floor : floors.front()) {
    squared += floor.out * floor.out;
  }
  const double noise = std::sqrt(squared / static_cast<double>(samples.size()) / 16.0);
  REQUIRE(judgement.fit_from_out.has_value());
  CHECK(judgement.fit_from_out->standard_error
        == Approx(kernel::k_scale * noise / std::sqrt(judgement.fit_from_out->information))
               .epsilon(1e-6));
}

TEST_CASE("rivals are met where out or lse is there to tell them", "[judge]") {
  const std::vector<Rival> rivals = {{"scale.latent_width", 1.0 / 24}};
  kernel::Run run = kernel::inputs({24, 24, 1, 16, 8, 16}, 2.0);
  kernel::attend(run, {kernel::k_scale});
  kernel::Run out = run;
  out.lse.clear();
  CHECK(judged(out, kernel::k_scale, rivals).rivals.size() == 1);
  kernel::Run lse = run;
  lse.out.clear();
  CHECK(judged(lse, kernel::k_scale, rivals).rivals.size() == 1);
  out.out.clear();
  CHECK(judged(out, kernel::k_scale, rivals).rivals.empty());
}

TEST_CASE(
    "captures whose inputs are not finite, or whose rows see no key, are held against nothing",
    "[judge]") {
  kernel::Run run = kernel::inputs({24, 24, 1, 16, 8, 16}, 2.0);
  kernel::attend(run, {kernel::k_scale});
  SECTION("an infinite query of one row") {
    run.q.back() = std::numeric_limits<double>::infinity();
    const Judgement judgement = judged(run);
    REQUIRE(judgement.reasons.size() == 1);
    CHECK(judgement.reasons[0].find("no finite attention for 1 rows") != std::string::npos);
    CHECK(judgement.verdict == Verdict::inconclusive);
    CHECK(judgement.advice.size() == 1);
    CHECK_FALSE(judgement.fit.has_value());
    for (const TensorComparison& tensor : judgement.tensors) {
      CHECK(tensor.by_head.empty());
    }
  }
  SECTION("rows before the first key") {
    run.shape.keys = 4;
    run.k.resize(4 * 24);
    run.v.resize(4 * 16);
    const auto capture = run.capture();
    auto problem = *reference::make_problem(capture, reference::Form::expanded, kernel::k_scale, 8);
    problem.rows = {0, 1, 2}; // the first to see a key is row 20
    const auto judgement = judge(problem, capture);
    REQUIRE(judgement.has_value());
    CHECK(judgement->verdict == Verdict::inconclusive);
    CHECK(judgement->reasons == std::vector<std::string>{"no query row of the capture sees a key"});
    CHECK(judgement->advice == std::vector<std::string>{"save rows that see keys"});
    CHECK(judgement->tensors[0].by_head.empty());
    CHECK(judgement->tensors[1].by_head.empty());
  }
}

TEST_CASE("the ratio of a fit is over the scale that was asked for, where a kernel rounded it",
          "[judge]") {
  kernel::Run run = kernel::inputs({32, 32, 1, 32, 16, 16}, 2.0);
  const double rounded = kernel::to_bf16(kernel::k_scale);
  kernel::attend(run, eager(rounded));
  const Judgement judgement = judged(run);
  CHECK(judgement.verdict == Verdict::match);
  REQUIRE(judgement.notes.size() == 2);
  CHECK(judgement.notes[1].find("the scale itself was rounded to") == 0);
  REQUIRE(judgement.fit.has_value());
  CHECK(judgement.fit->ratio
        == Approx(judgement.fit->softmax_scale / kernel::k_scale).epsilon(1e-12));
  CHECK(std::abs(judgement.fit->ratio - 1.0) > 2e-3);
}
