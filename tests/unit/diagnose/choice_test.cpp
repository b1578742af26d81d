#include "by_hand.hpp"

#include <mla_scale/diagnose/choice.hpp>

#include <algorithm>
#include <cstddef>
#include <support/catch.hpp>
#include <vector>

// Which of several explanations is the answer: scores by hand at both edges of what decides.

using namespace mla_scale;
using by_hand::explanation;
using diagnose::Explanation;

namespace {

using Places = std::vector<std::size_t>;

/// Those of the explanations that rival the first.
Places rivals_of_first(const std::vector<Explanation>& explanations) {
  const by_hand::Rows rows({});
  Places places;
  for (const auto* rival : diagnose::rivals(rows.context, explanations, explanations.front())) {
    places.push_back(static_cast<std::size_t>(rival - explanations.data()));
  }
  return places;
}

std::ptrdiff_t best_of(const std::vector<Explanation>& explanations) {
  const by_hand::Rows rows({});
  const auto* best = diagnose::best_that_holds(rows.context, explanations);
  return best == nullptr ? -1 : best - explanations.data();
}

/// By two identifiers.
Explanation composed(double total, double cost = 0.0) {
  auto one = explanation("mask.window", total, cost);
  one.candidate.parts.push_back({"merge.base2", {}, ""});
  return one;
}

} // namespace

TEST_CASE("out is left as small within 8 % and 0.02 of the best, or within a healthy kernel's",
          "[choice]") {
  auto best = explanation("mask.none");
  auto simple = explanation("mask.window");
  best.score.out_ratio = 1.5;
  simple.score.out_ratio = 1.639; // 1.08 · 1.5 + 0.02 = 1.64
  CHECK(diagnose::as_good(simple, best));
  simple.score.out_ratio = 1.641;
  CHECK_FALSE(diagnose::as_good(simple, best));
  best.score.out_ratio = 0.5;
  simple.score.out_ratio = 0.999;
  CHECK(diagnose::as_good(simple, best));
  simple.score.out_ratio = 1.001;
  CHECK_FALSE(diagnose::as_good(simple, best));
}

TEST_CASE("fine rounding is left as small within 8 % and 0.02 of the best, or within a healthy "
          "kernel's",
          "[choice]") {
  auto best = explanation("mask.none");
  auto simple = explanation("mask.window");
  best.score.fine_ratio = 3.0;
  simple.score.fine_ratio = 3.259; // 1.08 · 3 + 0.02 = 3.26
  CHECK(diagnose::as_good(simple, best));
  simple.score.fine_ratio = 3.261;
  CHECK_FALSE(diagnose::as_good(simple, best));
  best.score.fine_ratio = 0.5;
  simple.score.fine_ratio = 0.999;
  CHECK(diagnose::as_good(simple, best));
  simple.score.fine_ratio = 1.001;
  CHECK_FALSE(diagnose::as_good(simple, best));
}

TEST_CASE("lse is left as small within half as much more than the best, or 1.5", "[choice]") {
  auto best = explanation("mask.none");
  auto simple = explanation("mask.window");
  best.score.lse_ratio = 2.0;
  simple.score.lse_ratio = 2.99;
  CHECK(diagnose::as_good(simple, best));
  simple.score.lse_ratio = 3.01;
  CHECK_FALSE(diagnose::as_good(simple, best));
  best.score.lse_ratio = 0.2;
  simple.score.lse_ratio = 1.49;
  CHECK(diagnose::as_good(simple, best));
  simple.score.lse_ratio = 1.51;
  CHECK_FALSE(diagnose::as_good(simple, best));
}

TEST_CASE("an explanation that leaves lse open is not as good as one that does not", "[choice]") {
  auto best = explanation("mask.none");
  auto simple = explanation("mask.window");
  simple.lse_explained = false;
  CHECK_FALSE(diagnose::as_good(simple, best));
  best.lse_explained = false;
  CHECK(diagnose::as_good(simple, best));
}

TEST_CASE("an lse twice as near, and much likelier, tells what out is too coarse for", "[choice]") {
  auto best = explanation("mask.none", 200.0);
  auto simple = explanation("mask.window", 99.0);
  best.score.lse_ratio = 0.5;
  simple.score.lse_ratio = 1.01;
  CHECK_FALSE(diagnose::as_good(simple, best));
  const auto as_good_with = [&](const auto& change) {
    auto changed = simple;
    auto than = best;
    change(changed, than);
    return diagnose::as_good(changed, than);
  };
  CHECK(as_good_with([](auto& one, auto&) { one.score.lse_ratio = 0.99; }));
  CHECK(as_good_with([](auto& one, auto&) { one.total = 101.0; }));
  CHECK(as_good_with([](auto&, auto& than) { than.score.coarseness = 0.11; }));
  CHECK_FALSE(as_good_with([](auto&, auto& than) { than.score.coarseness = 0.1; }));
  // Not of scales, and not when the other names more.
  CHECK(as_good_with([](auto& one, auto&) { one.candidate.parts.front().id = "scale.unit"; }));
  CHECK(as_good_with([](auto&, auto& than) { than.lse_parts = {{"lse.base2", {}, ""}}; }));
  CHECK_FALSE(as_good_with([](auto& one, auto& than) {
    one.candidate.parts.clear();
    one.lse_parts = {{"lse.base2", {}, ""}};
    than.score.coarseness = 0.0;
  }));
}

TEST_CASE("the first explanation that holds is the best", "[choice]") {
  auto fails = explanation("mask.none", 9.0);
  fails.score.out_ratio = 1.8;
  CHECK(best_of({fails, explanation("mask.window", 8.0), explanation("merge.average", 7.0)}) == 1);
  CHECK(best_of({fails, fails}) == -1);
  CHECK(best_of({}) == -1);
}

TEST_CASE("a cheaper explanation that leaves as little is the best", "[choice]") {
  const auto best = explanation("mask.none", 9.0, 5.0);
  const auto with = [&](const auto& change) {
    auto other = explanation("mask.window", 1.0, 4.0);
    change(other);
    return best_of({best, other});
  };
  CHECK(with([](auto&) {}) == 1);
  CHECK(with([](auto& other) { other.candidate.cost = 5.0; }) == 0);
  CHECK(with([](auto& other) { other.lse_cost = 1.0; }) == 0);
  CHECK(with([](auto& other) { other.score.out_ratio = 1.2; }) == 0);  // 1.08 + 0.02 is as good
  CHECK(with([](auto& other) { other.score.worst_head = 2.6; }) == 0); // and does not hold
  CHECK(with([](auto& other) { other.candidate.parts.push_back({"merge.base2", {}, ""}); }) == 0);
  CHECK(with([](auto& other) { other.candidate.parts.clear(); }) == 0); // The expectation.
}

TEST_CASE("the cheapest explanation is as good as the likeliest, not as another that was chosen",
          "[choice]") {
  // The third is as good as the second and not as the first.
  auto second = explanation("mask.window", 8.0, 4.0);
  second.score.out_ratio = 1.09;
  auto third = explanation("merge.average", 7.0, 3.0);
  third.score.out_ratio = 1.15;
  CHECK(best_of({explanation("mask.none", 9.0, 5.0), second, third}) == 1);
  third.score.out_ratio = 1.09;
  CHECK(best_of({explanation("mask.none", 9.0, 5.0), second, third}) == 2);
  CHECK(best_of({composed(9.0, 5.0), second, third}) == 2);
  // What was chosen names one: two are no longer simpler.
  CHECK(best_of({composed(9.0, 5.0), second, composed(8.0, 1.0)}) == 1);
}

TEST_CASE("the expectation is the best when it is the likeliest that holds", "[choice]") {
  CHECK(best_of({explanation("", 9.0, 5.0), explanation("mask.none", 8.0, 0.0)}) == 0);
}

TEST_CASE("a bug must be likelier than a healthy kernel, by 25 an identifier", "[choice]") {
  const by_hand::Rows rows({});
  const auto expected = explanation("", 100.0);
  const auto healthy = [&](const Explanation& best) {
    return diagnose::is_healthy(rows.context, expected, best);
  };
  CHECK(healthy(explanation("mask.none", 124.9)));
  CHECK_FALSE(healthy(explanation("mask.none", 125.1)));
  CHECK(healthy(composed(149.9)));
  CHECK_FALSE(healthy(composed(150.1)));
  CHECK(healthy(explanation("", 124.9))); // The expectation itself.
}

TEST_CASE("where logits were rounded a bug must be likelier by 75 an identifier", "[choice]") {
  const by_hand::Rows rows({});
  auto expected = explanation("", 100.0);
  const auto healthy = [&](double coarseness, double total) {
    expected.score.coarseness = coarseness;
    return diagnose::is_healthy(rows.context, expected, explanation("mask.none", total));
  };
  CHECK(healthy(0.1, 124.9));
  CHECK_FALSE(healthy(0.1, 125.1));
  CHECK(healthy(0.11, 174.9));
  CHECK_FALSE(healthy(0.11, 175.1));
}

TEST_CASE("a capture is healthy only where the expectation holds, lse and all", "[choice]") {
  const by_hand::Rows rows({});
  const auto healthy = [&](const auto& change) {
    auto expected = explanation("", 100.0);
    change(expected);
    return diagnose::is_healthy(rows.context, expected, explanation("mask.none", 0.0));
  };
  CHECK(healthy([](auto&) {}));
  CHECK_FALSE(healthy([](auto& expected) { expected.score.out_ratio = 1.8; }));
  CHECK_FALSE(healthy([](auto& expected) { expected.lse_explained = false; }));
  CHECK_FALSE(healthy([](auto& expected) { expected.lse_parts = {{"lse.base2", {}, ""}}; }));
}

TEST_CASE("an explanation as likely as the best is its rival, within 8", "[choice]") {
  auto other = explanation("mask.window", 42.1);
  other.score.out_ratio = 1.2; // not as good
  CHECK(rivals_of_first({explanation("mask.none", 50.0), other}) == Places{1});
  other.total = 41.9;
  other.score.likelihood = 41.9;
  CHECK(rivals_of_first({explanation("mask.none", 50.0), other}).empty());
}

TEST_CASE("an explanation that leaves as little is a rival, however unlikely", "[choice]") {
  CHECK(rivals_of_first({explanation("mask.none", 50.0), explanation("mask.window", 0.0)})
        == Places{1});
}

TEST_CASE("a rival costs 2.5 more than the best at most", "[choice]") {
  const auto best = explanation("mask.none", 50.0, 1.0);
  CHECK(rivals_of_first({best, explanation("mask.window", 49.0, 3.5)}) == Places{1});
  CHECK(rivals_of_first({best, explanation("mask.window", 49.0, 3.6)}).empty());
}

TEST_CASE("a rival that says the same of every row may cost what it will", "[choice]") {
  const auto best = explanation("mask.none", -2000.0, 0.0); // likelihood -2000
  auto same = explanation("mask.window", -2009.0, 9.0);     // the same
  CHECK(rivals_of_first({best, same}) == Places{1});
  same.score.likelihood = -2000.0 - 1.9e-6;
  CHECK(rivals_of_first({best, same}) == Places{1});
  same.score.likelihood = -2000.0 - 2.1e-6;
  CHECK(rivals_of_first({best, same}).empty());
  same.score.likelihood = -2000.0 + 2.1e-6;
  CHECK(rivals_of_first({best, same}).empty());
  same.score.likelihood = -2000.0;
  same.candidate.parts.front().id = "mask.none"; // by the same name
  CHECK(rivals_of_first({best, same}).empty());
}

TEST_CASE("a rival names no more than the best, holds, and is no expectation", "[choice]") {
  const auto best = explanation("mask.none", 50.0);
  CHECK(rivals_of_first({best, composed(50.0)}).empty());
  CHECK(rivals_of_first({composed(50.0), best}) == Places{1});
  CHECK(rivals_of_first({composed(50.0), composed(50.0)}) == Places{1});
  auto fails = explanation("mask.window", 50.0);
  fails.score.worst_head = 2.6;
  CHECK(rivals_of_first({best, fails}).empty());
  CHECK(rivals_of_first({best, explanation("", 50.0)}).empty());
  auto of_lse = explanation("", 50.0);
  of_lse.lse_parts = {{"lse.base2", {}, ""}};
  CHECK(rivals_of_first({of_lse, best}).empty());
  CHECK(rivals_of_first({best, of_lse}).empty());
}

TEST_CASE("a fit that is precise tells scales from one another, and from nothing else",
          "[choice]") {
  auto best = explanation("scale.unit", 50.0);
  best.candidate.distance_error = 1.9e-3;
  CHECK(rivals_of_first({best, explanation("scale.v_width", 50.0)}).empty());
  CHECK(rivals_of_first({best, explanation("mask.window", 50.0)}) == Places{1});
  best.candidate.distance_error = 2.1e-3;
  CHECK(rivals_of_first({best, explanation("scale.v_width", 50.0)}) == Places{1});
  auto mask = explanation("mask.none", 50.0);
  mask.candidate.distance_error = 1.9e-3;
  CHECK(rivals_of_first({mask, explanation("scale.v_width", 50.0)}) == Places{1});
}
