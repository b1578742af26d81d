#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/compare/key_walk.hpp>

#include <mutex>
#include <tuple>
#include <vector>

using namespace mla_scale;
using namespace mla_scale::compare;

namespace {

/// first, last, begin, end, is_last
using WalkStep = std::tuple<std::size_t, std::size_t, std::int64_t, std::int64_t, bool>;

RowSample sample_that_sees(std::int64_t head, std::int64_t first_key, std::size_t keys) {
  RowSample sample;
  sample.head = head;
  sample.first_key = first_key;
  sample.nope.resize(keys);
  return sample;
}

/// Two heads, two sequences that begin at keys 0 and 1000, and a sample without keys.
std::vector<RowSample> walked_samples() {
  return {sample_that_sees(0, 0, 300),    sample_that_sees(0, 0, 512),
          sample_that_sees(0, 1000, 600), sample_that_sees(0, 1000, 10),
          sample_that_sees(2, 0, 513),    sample_that_sees(2, 1000, 0)};
}

reference::Problem walked_problem() {
  reference::Problem problem;
  problem.q = tensors::view({1.0, 1.0, 1.0}, 1, 3, 1);
  problem.k = tensors::view({1.0}, 1, 1, 1);
  problem.v = tensors::view({1.0}, 1, 1, 1);
  problem.threads = 1;
  return problem;
}

/// The steps in the order in which they come.
std::vector<WalkStep> steps_of(const reference::Problem& problem,
                               const std::vector<RowSample>& samples) {
  std::vector<WalkStep> steps;
  std::mutex guard;
  walk_keys(problem, samples, [&](reference::KeyTiles<double>&, const KeyWalk& walk) {
    const std::lock_guard lock(guard);
    steps.emplace_back(walk.first, walk.last, walk.begin, walk.end, walk.is_last);
  });
  return steps;
}

} // namespace

TEST_CASE("keys are walked once for all samples of a head and a sequence", "[compare][key_walk]") {
  CHECK(steps_of(walked_problem(), walked_samples())
        == std::vector<WalkStep>{
            {0, 2, 0, 512, true}, {2, 4, 0, 600, true}, {4, 5, 0, 513, true}, {5, 6, 0, 0, true}});
  CHECK(steps_of(walked_problem(), {}).empty());
}

TEST_CASE("in blocks all heads of a sequence take a step before any takes the next",
          "[compare][key_walk]") {
  reference::Problem problem = walked_problem();
  problem.key_block = 256;
  CHECK(steps_of(problem, walked_samples())
        == std::vector<WalkStep>{{0, 2, 0, 256, false},
                                 {4, 5, 0, 256, false},
                                 {0, 2, 256, 512, true},
                                 {4, 5, 256, 512, false},
                                 {4, 5, 512, 513, true},
                                 {2, 4, 0, 256, false},
                                 {5, 6, 0, 0, true},
                                 {2, 4, 256, 512, false},
                                 {2, 4, 512, 600, true}});
}

TEST_CASE("a small capture is walked in one step, a large one in blocks", "[compare][key_walk]") {
  // Large: more than 512 MiB of k and v whose heads lie side by side. Only sizes are looked at.
  reference::Problem problem = walked_problem();
  problem.k = tensors::view(std::vector<double>(3), 1, 3, 1);
  problem.v = tensors::view(std::vector<double>(3), 1, 3, 1);
  const std::vector<RowSample> samples = {sample_that_sees(0, 0, std::size_t{3} << 20)};
  CHECK(steps_of(problem, samples).size() == 1);
  problem.k->tokens = std::int64_t{1} << 24; // of 48 bytes
  // Blocks of 128 MiB: 2796202 keys, 2796032 of them a multiple of 256.
  CHECK(steps_of(problem, samples)
        == std::vector<WalkStep>{{0, 1, 0, 2796032, false}, {0, 1, 2796032, 3145728, true}});
}

TEST_CASE("samples are walked to the keys of the one that sees most", "[compare][key_walk]") {
  CHECK(steps_of(walked_problem(), {sample_that_sees(0, 0, 7), sample_that_sees(0, 0, 3)})
        == std::vector<WalkStep>{{0, 2, 0, 7, true}});
}

TEST_CASE("tiles are of 256 keys, the last of what is left", "[compare][key_walk]") {
  const auto tiles = [](std::int64_t begin, std::int64_t end) {
    std::vector<std::pair<std::int64_t, std::int64_t>> found;
    walk_tiles(begin, end,
               [&](std::int64_t first, std::int64_t count) { found.emplace_back(first, count); });
    return found;
  };
  using Tiles = std::vector<std::pair<std::int64_t, std::int64_t>>;
  CHECK(tiles(0, 600) == Tiles{{0, 256}, {256, 256}, {512, 88}});
  CHECK(tiles(256, 512) == Tiles{{256, 256}});
  CHECK(tiles(100, 101) == Tiles{{100, 1}});
  CHECK(tiles(5, 5).empty());
}
