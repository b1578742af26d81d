// How well a scale can be told, from fits that are written down.
#include "bare_evidence.hpp"
#include "support/catch.hpp"

#include <mla_scale/compare/scale_resolution.hpp>
#include <mla_scale/core/number.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

ScaleFit written_fit(const std::string& from, double scale, double standard_error,
                     double information) {
  ScaleFit fit;
  fit.from = from;
  fit.softmax_scale = scale;
  fit.standard_error = standard_error;
  fit.information = information;
  fit.converged = true;
  return fit;
}

} // namespace

TEST_CASE("the fit from lse says more as long as it leaves no more than four floors",
          "[compare][scale_resolution]") {
  BareEvidence bare;
  CHECK_FALSE(better_fit(bare.evidence, {}).has_value());
  bare.evidence.out_fit = written_fit("out", 1.0, 0.1, 1.0);
  CHECK(better_fit(bare.evidence, {})->from == "out");
  bare.evidence.lse_fit = written_fit("lse", 1.0, 0.1, 1.0);
  LevelResult level;
  level.lse_floor = 0.25;
  bare.evidence.lse_fit->residual = 1.0;
  CHECK(better_fit(bare.evidence, level)->from == "lse");
  bare.evidence.lse_fit->residual = std::nextafter(1.0, 2.0);
  CHECK(better_fit(bare.evidence, level)->from == "out");
  bare.evidence.lse_fit->residual = 0.0;
  bare.evidence.lse_fit->converged = false;
  CHECK(better_fit(bare.evidence, level)->from == "out");
  bare.evidence.out_fit.reset();
  CHECK(better_fit(bare.evidence, level)->from == "lse");
}

TEST_CASE("a fit of fewer than 16 rows is no more certain than the noise of its rows lets it be",
          "[compare][scale_resolution]") {
  const auto error_with = [](std::int64_t rows, double standard_error) {
    ScaleFit fit = written_fit("out", -2.0, standard_error, 9.0);
    fit.rows = rows;
    take_noise(0.6, 0.15, fit);
    return fit.standard_error;
  };
  // The noise is 2 · 0.6 / sqrt(9) = 0.4, the bias 2 · 0.15 = 0.3.
  CHECK(error_with(16, 0.0) == Approx(0.3));
  CHECK(error_with(16, 0.4) == Approx(0.5));
  CHECK(error_with(15, 0.0) == Approx(0.5));
  CHECK(error_with(15, 1.25) == Approx(std::hypot(1.25, 0.3)));
}

TEST_CASE("the scale is told with the largest of the fit's error, a healthy kernel's noise and the "
          "bias of out",
          "[compare][scale_resolution]") {
  BareEvidence bare(4);
  CHECK(scale_resolution(bare.evidence, {}) == k_infinity);
  const auto from_out = [&](double standard_error, double floor, double bias) {
    bare.evidence.out_fit = written_fit("out", -2.0, standard_error, 9.0);
    LevelResult level;
    level.out_floor = floor;
    level.bias.scale = bias;
    return scale_resolution(bare.evidence, level);
  };
  // The noise of one of four columns is floor / sqrt(4).
  CHECK(from_out(0.8, 0.6, 0.2) == Approx(0.8 / 2.0));
  CHECK(from_out(0.1, 0.6, 0.02) == Approx(0.6 / 2.0 / 3.0));
  CHECK(from_out(0.1, 0.6, 0.2) == Approx(0.2));
  bare.evidence.out_fit.reset();
  const auto from_lse = [&](double standard_error, double floor) {
    bare.evidence.lse_fit = written_fit("lse", -2.0, standard_error, 9.0);
    LevelResult level;
    level.lse_floor = floor;
    level.bias.scale = 0.2;
    return scale_resolution(bare.evidence, level);
  };
  CHECK(from_lse(0.01, 0.6) == Approx(0.6 / 3.0));
  CHECK(from_lse(0.01, 0.006) == Approx(0.01 / 2.0));
  // The better of both.
  bare.evidence.out_fit = written_fit("out", 1.0, 0.1, 9.0);
  CHECK(from_lse(0.01, 0.006) == Approx(0.01 / 2.0));
  CHECK(from_lse(0.9, 0.006) == Approx(0.2));
}

TEST_CASE("a rival is told apart when more than eight standard errors lie between",
          "[compare][scale_resolution]") {
  const double distance = std::log(2.0);
  for (const double rival : {0.25, 1.0}) {
    const auto at = meet_rivals({{"rival", rival}}, 0.5, distance / 8.0);
    REQUIRE(at.size() == 1);
    CHECK(at[0].rival.name == "rival");
    CHECK(at[0].separation == 8.0);
    CHECK_FALSE(at[0].told_apart);
    const auto beyond = meet_rivals({{"rival", rival}}, 0.5, distance / 8.001);
    CHECK(beyond[0].separation == Approx(8.001));
    CHECK(beyond[0].told_apart);
  }
}

TEST_CASE("a rival within a millionth of the scale is that scale", "[compare][scale_resolution]") {
  CHECK(meet_rivals({{"near", 0.5 * (1.0 + 0.9e-6)}}, 0.5, 1e-9).empty());
  CHECK(meet_rivals({{"near", 0.5 * (1.0 - 0.9e-6)}}, 0.5, 1e-9).empty());
  const auto met = meet_rivals({{"near", 0.5}, {"other", 0.5 * (1.0 + 1.1e-6)}}, 0.5, 1e-9);
  REQUIRE(met.size() == 1);
  CHECK(met[0].rival.name == "other");
}

TEST_CASE("no noise hides a rival of the other sign, of scale 0, or that is no number",
          "[compare][scale_resolution]") {
  for (const double rival : {-0.5, 0.0, std::nan("")}) {
    const auto met = meet_rivals({{"rival", rival}}, 0.5, 1e9);
    REQUIRE(met.size() == 1);
    CHECK(met[0].told_apart);
    CHECK(met[0].separation == k_infinity);
  }
}
