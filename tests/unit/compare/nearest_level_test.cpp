// Which level is taken, of results that are written down: the bulk of a level is the median error
// over the median floor, and a level is near when |ln(bulk)| is small.
#include "bare_evidence.hpp"
#include "support/catch.hpp"

#include <mla_scale/compare/nearest_level.hpp>
#include <mla_scale/core/number.hpp>

#include <cmath>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

LevelResult passing(Level level, double out_bulk, double lse_bulk = 0.0) {
  LevelResult result;
  result.level = level;
  result.out_bulk = out_bulk;
  result.lse_bulk = lse_bulk;
  return result;
}

LevelResult failing(Level level, double out_bulk, double lse_bulk = 0.0) {
  LevelResult result = passing(level, out_bulk, lse_bulk);
  result.out.reasons = {"a reason"};
  return result;
}

double just_above(double x) {
  return std::nextafter(x, k_infinity);
}

double just_below(double x) {
  return std::nextafter(x, 0.0);
}

/// Of a capture with these outputs.
struct EvidenceOf : BareEvidence {
  explicit EvidenceOf(bool out, bool lse, std::size_t sample_count = 64)
      : BareEvidence(1, sample_count) {
    errors.out.present = out;
    errors.lse.present = lse;
  }
  [[nodiscard]] double distance(const LevelResult& result) const {
    return distance_from(result, evidence);
  }
  [[nodiscard]] Level nearest(const std::vector<LevelResult>& results) const {
    return nearest_level(results, evidence).level;
  }
};

} // namespace

TEST_CASE("lse alone is near to every level whose lse has no smaller errors",
          "[compare][nearest_level]") {
  const EvidenceOf lse(false, true);
  CHECK(lse.distance(passing(Level::eager, 9.0, 0.0)) == 0.0);
  CHECK(lse.distance(passing(Level::eager, 9.0, 1.5)) == 0.0);
  CHECK(lse.distance(passing(Level::eager, 9.0, just_above(1.5))) == k_infinity);
  CHECK(lse.nearest({passing(Level::exact, 0.0, 1.0), passing(Level::eager, 0.0, 1.0)})
        == Level::exact);
  CHECK(lse.nearest({failing(Level::exact, 0.0, 1.0), passing(Level::eager, 0.0, 1.0)})
        == Level::eager);
}

TEST_CASE("the distance from a level is the logarithm of the errors over its floors, between 0.4 "
          "and 1.5",
          "[compare][nearest_level]") {
  const EvidenceOf out(true, false);
  for (const Level level : {Level::exact, Level::flash, Level::rounded_query}) {
    CHECK(out.distance(passing(level, 1.0)) == 0.0);
    CHECK(out.distance(passing(level, 1.5)) == Approx(std::log(1.5)));
    CHECK(out.distance(passing(level, just_above(1.5))) == k_infinity);
    CHECK(out.distance(passing(level, 0.4)) == Approx(std::log(2.5)));
  }
  CHECK(out.distance(passing(Level::exact, just_below(0.4))) == 0.0);
  CHECK(out.distance(passing(Level::flash, just_below(0.4))) == k_infinity);
  CHECK(out.distance(passing(Level::rounded_query, just_below(0.4), 1.0)) == k_infinity);
}

TEST_CASE("an lse may show rounded logits that out does not show", "[compare][nearest_level]") {
  const EvidenceOf both(true, true);
  CHECK(both.distance(passing(Level::rounded_query, 0.1, 1.0)) == Approx(std::log(2.5)));
  CHECK(both.distance(passing(Level::rounded_query, 0.1, 1.5)) == Approx(std::log(2.5)));
  CHECK(both.distance(passing(Level::rounded_query, 0.1, just_above(1.5))) == k_infinity);
  CHECK(both.distance(passing(Level::flash, 0.1, 1.0)) == k_infinity);
  CHECK(both.distance(passing(Level::exact, 0.1, 1.0)) == 0.0);
}

TEST_CASE("an lse of whole logits contradicts levels that round them: 0.4 of their floor, 0.02 in "
          "fewer than 64 rows",
          "[compare][nearest_level]") {
  const EvidenceOf many(true, true, 64);
  CHECK(many.distance(passing(Level::rounded_logits, 1.0, 0.4)) == 0.0);
  CHECK(many.distance(passing(Level::rounded_logits, 1.0, just_below(0.4))) == k_infinity);
  CHECK(many.distance(passing(Level::flash, 1.0, 0.0)) == 0.0);
  const EvidenceOf few(true, true, 63);
  CHECK(few.distance(passing(Level::rounded_logits, 1.0, 0.02)) == 0.0);
  CHECK(few.distance(passing(Level::rounded_logits, 1.0, just_below(0.02))) == k_infinity);
  const EvidenceOf none(true, false);
  CHECK(none.distance(passing(Level::rounded_logits, 1.0, 0.0)) == 0.0);
}

TEST_CASE("of levels that pass the nearest is taken, of equally near ones the tightest",
          "[compare][nearest_level]") {
  const EvidenceOf out(true, false);
  CHECK(out.nearest({passing(Level::exact, 1.2), passing(Level::flash, 1.1)}) == Level::flash);
  CHECK(out.nearest({passing(Level::exact, 1.0), passing(Level::flash, 1.1)}) == Level::exact);
  CHECK(out.nearest({passing(Level::exact, 1.0), passing(Level::flash, 1.0)}) == Level::exact);
}

TEST_CASE("a level that passes counts within 0.15 of the nearest, 0.7 of fp8 inputs",
          "[compare][nearest_level]") {
  const auto nearest = [](tensor::Dtype input, double distance) {
    EvidenceOf out(true, false);
    out.evidence.dtypes.input = input;
    return out.nearest({failing(Level::exact, 1.0), passing(Level::flash, std::exp(-distance))});
  };
  CHECK(nearest(tensor::Dtype::bf16, 0.15) == Level::flash);
  CHECK(nearest(tensor::Dtype::bf16, 0.151) == Level::exact);
  CHECK(nearest(tensor::Dtype::f8_e4m3fn, 0.7) == Level::flash);
  CHECK(nearest(tensor::Dtype::f8_e4m3fn, 0.701) == Level::exact);
  // From the nearest, not from 0.
  const EvidenceOf out(true, false);
  CHECK(out.nearest({failing(Level::exact, std::exp(0.2)), passing(Level::flash, std::exp(0.3))})
        == Level::flash);
}

TEST_CASE("a captured lse lets a level that rounds logits be far by its out",
          "[compare][nearest_level]") {
  const EvidenceOf both(true, true);
  CHECK(both.nearest({failing(Level::flash, 1.0), passing(Level::rounded_query, 0.5, 1.0)})
        == Level::rounded_query);
  CHECK(both.nearest({failing(Level::exact, 1.0), passing(Level::flash, 0.5, 1.0)})
        == Level::exact);
  CHECK(both.nearest({failing(Level::exact, 1.0), passing(Level::rounded_query, 2.0, 1.0)})
        == Level::exact);
  const EvidenceOf out(true, false);
  CHECK(out.nearest({failing(Level::flash, 1.0), passing(Level::rounded_query, 0.5, 1.0)})
        == Level::flash);
}

TEST_CASE("of levels that fail the nearest is taken", "[compare][nearest_level]") {
  const EvidenceOf out(true, false);
  CHECK(out.nearest({failing(Level::exact, 1.4), failing(Level::flash, 1.1),
                     failing(Level::rounded_query, 2.0)})
        == Level::flash);
}

TEST_CASE("where every level is out the loosest is taken that the lse does not contradict",
          "[compare][nearest_level]") {
  const EvidenceOf both(true, true);
  CHECK(both.nearest({passing(Level::exact, 2.0), passing(Level::flash, 2.0),
                      passing(Level::eager, 2.0, 1.0)})
        == Level::eager);
  CHECK(both.nearest({passing(Level::exact, 2.0), passing(Level::flash, 2.0),
                      passing(Level::eager, 2.0, 0.1)})
        == Level::flash);
  CHECK(both.nearest({passing(Level::exact, 2.0), passing(Level::eager, 2.0, 0.1)})
        == Level::exact);
  CHECK(both.nearest({passing(Level::rounded_query, 2.0, 0.1), passing(Level::eager, 2.0, 0.1)})
        == Level::rounded_query);
}
