#include "support/catch.hpp"

#include <mla_scale/compare/clustered_error.hpp>

#include <cmath>
#include <limits>

using namespace mla_scale::compare;

TEST_CASE("few rows are as uncertain as Student's t says", "[compare][clustered_error]") {
  // 1 + 2.5 / ν + 5.75 / ν² by hand.
  CHECK(few_rows_factor(1.0) == 9.25);
  CHECK(few_rows_factor(2.0) == 1.0 + 1.25 + 1.4375);
  // Table G.2 of the Guide to the Expression of Uncertainty in Measurement: t of 99.73 %.
  CHECK(few_rows_factor(10.0) == Approx(3.96 / 3.0).epsilon(0.01));
  CHECK(few_rows_factor(20.0) == Approx(3.42 / 3.0).epsilon(0.002));
  CHECK(few_rows_factor(50.0) == Approx(3.16 / 3.0).epsilon(0.002));
  CHECK(few_rows_factor(std::numeric_limits<double>::infinity()) == 1.0);
}

TEST_CASE("the factor of next to no rows is 10", "[compare][clustered_error]") {
  CHECK(few_rows_factor(0.97) == Approx(1.0 + 2.5 / 0.97 + 5.75 / (0.97 * 0.97)));
  for (const double none : {0.94, 0.5, 0.25, 0.0, -0.0, -1.0, -20.0, std::nan("")}) {
    CHECK(few_rows_factor(none) == 10.0);
  }
}
