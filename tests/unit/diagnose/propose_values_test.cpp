#include "appended.hpp"

#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <utility>
#include <vector>

// Expected values: what variants.cpp injects, and the captured tensors read by other strides.

using namespace mla_scale;
using namespace simulator;

namespace {

Settings three_heads() {
  Settings settings = tiny();
  settings.heads = 3;
  settings.queries = 6;
  return settings;
}

Candidates values_of(const Examined& examined) {
  return appended(examined, diagnose::propose_values);
}

/// Output of kv_b_proj for a key, all heads in a row: [nope | v] of each.
std::vector<double> all_heads(const Examined& examined, std::int64_t key) {
  const auto& capture = examined.simulation.capture;
  const auto& dims = examined.simulation.expectation.geometry;
  std::vector<double> all;
  for (std::int64_t head = 0; head < capture.heads; ++head) {
    for (std::int64_t column = 0; column < dims.qk_nope_head_dim; ++column) {
      all.push_back(capture.k->at(key, head, column));
    }
    for (std::int64_t column = 0; column < dims.v_head_dim; ++column) {
      all.push_back(capture.v->at(key, head, column));
    }
  }
  return all;
}

/// Where a head's nope and its values begin in all_heads().
struct Begins {
  std::int64_t nope;
  std::int64_t values;
};

/// Keys and values of the candidate for the split are those that begin there.
template <class Where>
void check_split(const Examined& examined, const std::string& split, const Where& begins) {
  const auto& dims = examined.simulation.expectation.geometry;
  const auto& capture = examined.simulation.capture;
  std::size_t found = 0;
  for (const auto& candidate : values_of(examined)) {
    const auto& part = candidate.parts.front();
    if (part.id != "value.split_swapped" || text(part, "split") != split) {
      continue;
    }
    ++found;
    const std::string side = text(part, "side");
    CHECK(part.evidence == side + " from kv_b_proj's output split as " + split);
    CHECK(candidate.cost == (side == "keys and values" ? 1.0 : 1.5));
    CHECK((candidate.mechanism.logits != nullptr) == (side != "values"));
    CHECK((candidate.mechanism.values != nullptr) == (side != "keys"));
    for (const auto& row : examined.sample.rows) {
      const auto first = capture.sequences[row.sequence].key_begin;
      for (std::size_t at = 0; at < row.keys; ++at) {
        const auto all = all_heads(examined, first + static_cast<std::int64_t>(at));
        const Begins begin = begins(row.head);
        if (side != "values") {
          double logit = 0.0;
          for (std::int64_t column = 0; column < dims.qk_nope_head_dim; ++column) {
            logit += capture.q->at(row.row, row.head, column)
                     * all[static_cast<std::size_t>(begin.nope + column)];
          }
          CHECK(candidate.mechanism.logits->nope[row.offset + at] == Approx(logit).margin(1e-9));
        }
        if (side != "keys") {
          for (std::int64_t column = 0; column < dims.v_head_dim; ++column) {
            CHECK(candidate.mechanism.values->values[row.slot][at * examined.sample.width
                                                               + static_cast<std::size_t>(column)]
                  == all[static_cast<std::size_t>(begin.values + column)]);
          }
        }
      }
    }
  }
  CHECK(found == 3);
}

Candidates permutations(const Examined& examined) {
  return with_id(values_of(examined), "value.head_permuted");
}

} // namespace

TEST_CASE("kv_b_proj's output is split with the values of each head first", "[proposers]") {
  const Examined examined(simulate(three_heads(), "healthy")); // 6 and 10 columns
  check_split(examined, "[v | nope] of each head", [](std::int64_t head) {
    return Begins{16 * head + 10, 16 * head};
  });
}

TEST_CASE("kv_b_proj's output is split with the values of all heads behind", "[proposers]") {
  const Examined examined(simulate(three_heads(), "healthy"));
  check_split(examined, "[heads · nope | heads · v]", [](std::int64_t head) {
    return Begins{6 * head, 18 + 10 * head};
  });
}

TEST_CASE("of several sequences each has its own keys split", "[proposers]") {
  auto simulation = simulate(three_heads(), "healthy");
  simulation.capture.sequences = {{0, 2, 0, 2}, {2, 6, 2, 6}};
  const Examined examined(std::move(simulation));
  check_split(examined, "[v | nope] of each head", [](std::int64_t head) {
    return Begins{16 * head + 10, 16 * head};
  });
}

TEST_CASE("heads stand apart in kv_b_proj's output of 2 to 16 heads", "[proposers]") {
  const auto splits = [](std::int64_t heads) {
    Settings settings = tiny();
    settings.heads = heads;
    settings.queries = 2;
    return with_id(values_of(Examined(simulate(settings, "healthy"))), "value.split_swapped")
        .size();
  };
  CHECK(splits(1) == 3);
  CHECK(splits(2) == 6);
  CHECK(splits(16) == 6);
  CHECK(splits(17) == 3);
  Settings narrow = tiny();
  narrow.heads = 2;
  narrow.queries = 2;
  narrow.nope = 1;
  CHECK(with_id(values_of(Examined(simulate(narrow, "healthy"))), "value.split_swapped").size()
        == 6);
}

TEST_CASE("values of other heads are told from outputs of other heads", "[proposers]") {
  for (const bool whole : {false, true}) {
    const Examined examined(
        simulate(three_heads(), whole ? "value.head_permuted:out" : "value.head_permuted"));
    const auto found = permutations(examined);
    REQUIRE(found.size() == 1);
    const auto& part = found[0].parts.front();
    CHECK(text(part, "of") == (whole ? "out" : "values"));
    CHECK(text(part, "heads") == "0<-1 1<-2 2<-0");
    CHECK(found[0].cost == (whole ? 7.0 : 8.0));
    CHECK(part.evidence
          == (whole ? "out" : "values") + std::string(" of other heads, head<-source: ")
                 + "0<-1 1<-2 2<-0");
    for (std::size_t index = 0; index < examined.sample.rows.size(); ++index) {
      const auto& row = examined.sample.rows[index];
      const auto prediction = found[0].direct(row);
      const auto captured = examined.sample.out_of(index);
      for (std::size_t column = 0; column < captured.size(); ++column) {
        CHECK(prediction.out[column] == Approx(captured[column]).margin(1e-4));
      }
      REQUIRE(found[0].lse.size() == 1);
      CHECK(found[0].lse.front().lse(row)
            == Approx(examined.predictor.predict(examined.context.reference, row).lse));
    }
  }
}

TEST_CASE("heads that are their own source, or none's, are no permutation", "[proposers]") {
  CHECK(permutations(Examined(simulate(three_heads(), "healthy"))).empty());
  auto simulation = simulate(three_heads(), "healthy");
  Settings other = three_heads();
  other.seed = 77;
  simulation.capture.out = simulate(other, "healthy").capture.out;
  CHECK(permutations(Examined(std::move(simulation))).empty());
  // Half of head 0, 1 and 2: each head fits itself best, or not at all.
  CHECK(permutations(Examined(simulate(three_heads(), "value.gain"))).empty());
}

TEST_CASE("one row of each head tells a permutation, one that sees no key nothing", "[proposers]") {
  Settings settings = three_heads();
  settings.queries = 1;
  settings.prefix = 5;
  const auto one = permutations(Examined(simulate(settings, "value.head_permuted")));
  REQUIRE(one.size() == 1);
  CHECK(text(one[0].parts.front(), "heads") == "0<-1 1<-2 2<-0");
  Examined examined(simulate(three_heads(), "value.head_permuted"));
  for (std::size_t head = 0; head < 3; ++head) {
    examined.sample.rows[6 * head].visible = 0;
  }
  CHECK(permutations(examined).size() == 1);
}

TEST_CASE("a permutation leaves ten times the rounding of out at most, on average", "[proposers]") {
  // Rounding of float32 counts as 4e-7.
  const auto found_where_off_by = [](double error) {
    Examined examined(simulate(three_heads(), "value.head_permuted:out"));
    for (double& value : examined.sample.out) {
      value *= 1.0 + error * 4e-7;
    }
    return permutations(examined).size() == 1;
  };
  CHECK(found_where_off_by(9.0));
  CHECK(found_where_off_by(9.75));
  CHECK_FALSE(found_where_off_by(10.25));
  CHECK_FALSE(found_where_off_by(12.0));
}

TEST_CASE("without out there are no values to look at", "[proposers]") {
  Settings settings = three_heads();
  settings.lse = true;
  auto simulation = simulate(settings, "healthy");
  simulation.capture.out.reset();
  CHECK(values_of(Examined(std::move(simulation))).empty());
}
