#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/reference/problem.hpp>

#include <cmath>
#include <limits>

using namespace mla_scale;
using namespace mla_scale::reference;

namespace {

Problem problem_of(std::int64_t queries, std::int64_t keys) {
  Problem problem;
  problem.q = tensors::number_view(1, queries, 2, 6);
  problem.k = tensors::number_view(2, keys, 2, 6);
  problem.v = tensors::number_view(3, keys, 2, 4);
  problem.softmax_scale = 0.5;
  problem.sequences = {{0, queries, 0, keys}};
  return problem;
}

ErrorKind kind_of(const Problem& problem) {
  const auto valid = validate(problem);
  REQUIRE(!valid.has_value());
  return valid.error().kind;
}

} // namespace

TEST_CASE("the last query sees every key and each earlier one a key less", "[reference]") {
  const Problem problem = problem_of(3, 5);
  CHECK(problem.visible_keys(problem.sequences[0], 0) == 3);
  CHECK(problem.visible_keys(problem.sequences[0], 2) == 5);
}

TEST_CASE("shapes that do not fit each other are named", "[reference]") {
  Problem problem = problem_of(3, 5);
  problem.v = tensors::number_view(3, 4, 2, 4);
  const auto valid = validate(problem);
  REQUIRE(!valid.has_value());
  CHECK(valid.error().kind == ErrorKind::schema);
  CHECK(valid.error().pointer == "v");
  problem.v.reset();
  CHECK(kind_of(problem) == ErrorKind::schema);
  problem = problem_of(3, 5);
  problem.qk_rope_head_dim = 7;
  CHECK(kind_of(problem) == ErrorKind::schema);
}

TEST_CASE("sequences outside the tensors are refused", "[reference]") {
  Problem problem = problem_of(3, 5);
  for (const tensor::Sequence& sequence :
       {tensor::Sequence{0, 4, 0, 5}, tensor::Sequence{0, 3, 0, 6}, tensor::Sequence{2, 1, 0, 5},
        tensor::Sequence{-1, 3, 0, 5}, tensor::Sequence{0, 3, -1, 5}}) {
    problem.sequences = {sequence};
    CHECK(kind_of(problem) == ErrorKind::schema);
  }
}

TEST_CASE("heads, rows and scales that make no sense are refused", "[reference]") {
  Problem problem = problem_of(3, 5);
  problem.heads = {2};
  CHECK(kind_of(problem) == ErrorKind::usage);
  problem.heads = {1, 0};
  CHECK(kind_of(problem) == ErrorKind::usage);
  problem.heads.clear();
  problem.rows = {-1};
  CHECK(kind_of(problem) == ErrorKind::usage);
  problem.rows.clear();
  problem.softmax_scale = std::nan("");
  CHECK(kind_of(problem) == ErrorKind::usage);
  problem.softmax_scale = std::numeric_limits<double>::infinity();
  CHECK(kind_of(problem) == ErrorKind::usage);
}

TEST_CASE("Llama-4 temperature grows with each original length", "[reference]") {
  // 1 + 0.1 ln(1 + floor(p / 8192)): 1 up to 8191, then 1 + 0.1 ln 2 and 1 + 0.1 ln 3.
  const std::vector<double> factors = llama_4_factors({0, 8191, 8192, 16384}, 0.1, 8192.0);
  CHECK(factors[0] == 1.0);
  CHECK(factors[1] == 1.0);
  CHECK(factors[2] == Approx(1.0693147180559945).epsilon(1e-15));
  CHECK(factors[3] == Approx(1.1098612288668110).epsilon(1e-15));
}

TEST_CASE("positions that were not captured count from the end of the keys", "[reference]") {
  tensor::Capture capture;
  capture.query_rows = 5;
  capture.sequences = {{0, 3, 0, 10}, {3, 5, 10, 12}};
  CHECK(query_positions(capture) == std::vector<std::int64_t>{7, 8, 9, 0, 1});
}
