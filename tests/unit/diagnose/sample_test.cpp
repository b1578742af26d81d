#include "diagnosed.hpp"

#include <mla_scale/diagnose/choose_rows.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <support/catch.hpp>
#include <support/tensors.hpp>
#include <vector>

using namespace mla_scale;

TEST_CASE("the first and the last row of every sequence are looked at, however small the budget") {
  simulator::Settings settings;
  settings.queries = 200;
  auto simulation = simulator::simulate(settings, "healthy");
  simulation.capture.sequences = {{0, 100, 0, 100}, {100, 110, 100, 110}, {110, 200, 110, 200}};
  const auto problem = posed(simulation);
  const auto pairs = diagnose::choose_rows(problem, 3, 3 * 200 * 8); // eight rows of each
  for (std::int64_t head = 0; head < 3; ++head) {
    for (const std::int64_t row : {0, 99, 100, 109, 110, 199}) {
      INFO("head " << head << ", row " << row);
      CHECK(std::binary_search(pairs.begin(), pairs.end(), diagnose::HeadRow{head, row}));
    }
  }
}

TEST_CASE("rows of captures shorter than a handful are all looked at, and no others") {
  simulator::Settings settings;
  for (std::int64_t queries = 1; queries <= 9; ++queries) {
    settings.queries = queries;
    const auto simulation = simulator::simulate(settings, "healthy");
    const auto pairs = diagnose::choose_rows(posed(simulation), 3, 600'000);
    std::vector<diagnose::HeadRow> all;
    for (std::int64_t head = 0; head < 3; ++head) {
      for (std::int64_t row = 0; row < queries; ++row) {
        all.emplace_back(head, row);
      }
    }
    CHECK(pairs == all);
  }
}

TEST_CASE("heads under suspicion are at most half of those looked at, and only chosen ones") {
  simulator::Settings settings;
  settings.heads = 8;
  settings.queries = 8;
  const auto simulation = simulator::simulate(settings, "healthy");
  auto problem = posed(simulation);
  const auto heads_of = [&](const std::vector<diagnose::HeadRow>& suspects) {
    std::set<std::int64_t> heads;
    for (const auto& pair : diagnose::choose_rows(problem, 4, 600'000, suspects)) {
      heads.insert(pair.first);
    }
    return heads;
  };
  const auto heads = heads_of({{6, 1}, {5, 2}, {3, 3}, {1, 4}});
  CHECK(heads.size() == 4);
  CHECK(heads.contains(6));
  CHECK(heads.contains(5));
  CHECK_FALSE((heads.contains(3) && heads.contains(1)));
  problem.heads = {0, 2, 4, 7};
  CHECK(heads_of({{6, 1}, {5, 2}}) == std::set<std::int64_t>{0, 2, 4, 7});
}

TEST_CASE(
    "a sequence of more queries than keys has no prefix, and one without keys is no trouble") {
  simulator::Settings settings;
  settings.queries = 30;
  auto simulation = simulator::simulate(settings, "healthy");
  // Queries 5 to 9 see one to five of the five keys, 0 to 4 none; the others have no key at all.
  simulation.capture.sequences = {{0, 10, 0, 5}, {10, 30, 5, 5}};
  const auto problem = posed(simulation);
  const auto sample = diagnose::make_sample(problem, simulation.capture,
                                            diagnose::choose_rows(problem, 3, 600'000));
  REQUIRE(sample);
  CHECK(sample->rows.size() == 15); // of three heads
  for (const auto& row : sample->rows) {
    INFO(row.row);
    CHECK(row.prefix == 0);
    CHECK(row.visible == static_cast<std::size_t>(row.row - 4));
  }
  CHECK(diagnosed(simulation).findings.size() < 10); // ends, and in little memory
}

TEST_CASE("a row of a sample says where it stands and how many independent errors it counts for",
          "[parts]") {
  simulator::Settings settings;
  settings.queries = 100;
  settings.prefix = 20;
  settings.first_position = 7;
  auto simulation = simulator::simulate(settings, "healthy");
  simulation.capture.lse_base = tensor::LseBase::two;
  auto problem = posed(simulation);
  problem.query_factors.assign(100, 1.0);
  problem.query_factors[60] = 1.5;
  const auto sample =
      diagnose::make_sample(problem, simulation.capture, {{0, 60}, {2, 0}, {2, 76}, {2, 99}});
  REQUIRE(sample);
  CHECK(sample->slots.size() == 2);
  const auto& row = sample->rows[0];
  CHECK(row.head == 0);
  CHECK(row.row == 60);
  CHECK(row.local == 60);
  CHECK(row.queries == 100);
  CHECK(row.prefix == 20);
  CHECK(row.keys == 120);
  CHECK(row.visible == 81);
  CHECK(row.position == 87.0); // the first key is at 7
  CHECK(row.factor == 1.5);
  CHECK(sample->rows[1].factor == 1.0);
  CHECK(row.slot == 0);
  CHECK(sample->rows[3].slot == 1);
  CHECK(sample->rows[3].offset == 360);
  CHECK(row.lse == Approx(simulation.capture.lse->at(60, 0, 0) * std::numbers::ln2));
  double squared = 0.0;
  for (std::int64_t column = 0; column < 24; ++column) {
    squared += std::pow(simulation.capture.out->at(60, 0, column), 2);
  }
  CHECK(row.out_squared == Approx(squared));
  // A fourth of the keys that it sees, 24 at most, 1 at least.
  CHECK(row.freedom == Approx(81.0 / 4.0));
  CHECK(sample->rows[1].freedom == Approx(21.0 / 4.0));
  CHECK(sample->rows[2].freedom == 24.0); // 97 keys
  CHECK(sample->rows[3].freedom == 24.0);
  simulation.capture.sequences = {{0, 40, 0, 40}, {40, 100, 50, 120}};
  const auto of_second = diagnose::make_sample(posed(simulation), simulation.capture, {{1, 60}});
  REQUIRE(of_second);
  CHECK(of_second->rows[0].sequence == 1);
  CHECK(of_second->rows[0].local == 20);
  CHECK(of_second->rows[0].queries == 60);
  CHECK(of_second->rows[0].prefix == 10);
  CHECK(of_second->rows[0].keys == 70);
  CHECK(of_second->rows[0].visible == 31);
  settings.prefix = 2;
  const auto first = simulator::simulate(settings, "healthy");
  const auto of_first = diagnose::make_sample(posed(first), first.capture, {{0, 0}, {0, 2}});
  REQUIRE(of_first);
  CHECK(of_first->rows[0].freedom == 1.0); // three keys
  CHECK(of_first->rows[1].freedom == 1.25);
}

TEST_CASE("products of a row with all keys of its sequence, block by block", "[parts]") {
  simulator::Settings settings;
  settings.queries = 300; // more than a block of 256 keys
  settings.heads = 2;
  const auto simulation = simulator::simulate(settings, "healthy");
  const auto problem = posed(simulation);
  const auto sample = diagnose::make_sample(problem, simulation.capture, {{1, 3}, {1, 280}});
  REQUIRE(sample);
  const auto seen = diagnose::make_sample(problem, simulation.capture, {{1, 3}, {1, 280}},
                                          {.future_keys = false, .values = false});
  REQUIRE(seen);
  CHECK(seen->rows[1].keys == 281);
  CHECK(seen->values->values[0].empty());
  for (const auto& row : sample->rows) {
    for (std::int64_t key = 0; key < 300; ++key) {
      double nope = 0.0;
      double rope = 0.0;
      for (std::int64_t column = 0; column < 48; ++column) {
        const double product = problem.q.at(row.row, 1, column) * problem.k->at(key, 1, column);
        (column < 32 ? nope : rope) += product;
      }
      const auto at = row.offset + static_cast<std::size_t>(key);
      CHECK(sample->logits->nope[at] == Approx(nope).margin(1e-9));
      CHECK(sample->logits->rope[at] == Approx(rope).margin(1e-9));
    }
  }
  double squared = 0.0;
  for (std::int64_t column = 0; column < 24; ++column) {
    squared += std::pow(problem.v->at(299, 1, column), 2);
  }
  CHECK(sample->values->squared[0][299] == Approx(squared));
}

TEST_CASE("keys and values of a latent are what the weights make of it, and so is what rounding "
          "them does to logits",
          "[parts]") {
  reference::Problem problem;
  problem.form = reference::Form::latent;
  problem.q = tensors::number_view(1, 5, 2, 5);
  problem.kv_c = tensors::number_view(2, 5, 1, 4);
  problem.k_pe = tensors::number_view(3, 5, 1, 2);
  problem.w_uk = tensors::number_view(4, 3, 2, 4);
  problem.w_uv = tensors::number_view(5, 2, 2, 4);
  problem.qk_rope_head_dim = 2;
  problem.softmax_scale = 1.0;
  problem.sequences = {{0, 5, 0, 5}};
  const auto sample = diagnose::make_sample(problem, {}, {{1, 2}, {1, 4}});
  REQUIRE(sample);
  const auto of_latent = [&](const tensor::View3& weights, std::int64_t column, std::int64_t key) {
    double sum = 0.0;
    for (std::int64_t at = 0; at < 4; ++at) {
      sum += weights.at(column, 1, at) * problem.kv_c->at(key, 0, at);
    }
    return sum;
  };
  REQUIRE(sample->logits->stored.size() == 10);
  for (const auto& row : sample->rows) {
    for (std::int64_t key = 0; key < 5; ++key) {
      double nope = 0.0;
      double stored = 0.0;
      double rope = 0.0;
      for (std::int64_t column = 0; column < 3; ++column) {
        const double product =
            problem.q.at(row.row, 1, column) * of_latent(*problem.w_uk, column, key);
        nope += product;
        stored += product * product;
      }
      for (std::int64_t column = 0; column < 2; ++column) {
        rope += problem.q.at(row.row, 1, 3 + column) * problem.k_pe->at(key, 0, column);
      }
      const auto at = row.offset + static_cast<std::size_t>(key);
      CHECK(sample->logits->nope[at] == Approx(nope).margin(1e-9));
      CHECK(sample->logits->stored[at] == Approx(stored).margin(1e-9));
      CHECK(sample->logits->rope[at] == Approx(rope).margin(1e-9));
    }
  }
  for (std::int64_t key = 0; key < 5; ++key) {
    for (std::int64_t column = 0; column < 2; ++column) {
      CHECK(sample->values->values[0][static_cast<std::size_t>(2 * key + column)]
            == Approx(of_latent(*problem.w_uv, column, key)).margin(1e-9));
    }
  }
}
