#include <mla_scale/diagnose/before_rope.hpp>
#include <mla_scale/diagnose/captured_rotation.hpp>
#include <mla_scale/diagnose/rope_variants.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace mla_scale::diagnose {
namespace {

constexpr std::int64_t k_vectors = 64;   // compared
constexpr double k_same_rotation = 0.02; // of the size: what bf16 leaves, and more
constexpr double k_differs = 0.1;        // what no rounding leaves, e4m3's neither
constexpr std::string_view k_shifted = "rope.positions_shifted";

/// Columns (i, i + R/2) of the vector at (2i, 2i+1), or the other way round.
Eigen::VectorXd in_other_layout(const Eigen::VectorXd& vector, bool to_pairs) {
  Eigen::VectorXd result(vector.size());
  const Eigen::Index half = vector.size() / 2;
  for (Eigen::Index column = 0; column < vector.size(); ++column) {
    const Eigen::Index in_halves = column % 2 * half + column / 2;
    result[to_pairs ? column : in_halves] = vector[to_pairs ? in_halves : column];
  }
  return result;
}

/// Rope parts of the capture, and what a rotation makes of the same ones before RoPE.
struct Side {
  std::vector<Eigen::VectorXd> captured;
  std::function<Eigen::VectorXd(std::size_t at, const Rotation&)> rotated;
};

/// Which order of its columns a captured part has, against that of the vector before RoPE.
enum class Layout { same, to_pairs, to_halves };

struct Distance {
  double value = 0.0; ///< |captured - rotated| / |captured| over all vectors
  Layout layout = Layout::same;
};

/// In the layout in which it is least: a permutation of columns that q and k share changes nothing.
/// Vectors that are not finite say nothing.
/// `any_factor`: as if each captured vector had been multiplied by the number that fits best.
Distance distance(const Side& side, const Rotation& rotation, bool any_factor = false) {
  std::array<double, 3> difference = {};
  double size = 0.0;
  double expected = 0.0;
  for (std::size_t at = 0; at < side.captured.size(); ++at) {
    const Eigen::VectorXd& captured = side.captured[at];
    const Eigen::VectorXd plain = side.rotated(at, rotation);
    if (!captured.allFinite() || !plain.allFinite()) {
      continue;
    }
    const double square = plain.squaredNorm();
    const std::array<Eigen::VectorXd, 3> layouts = {plain, in_other_layout(plain, true),
                                                    in_other_layout(plain, false)};
    for (std::size_t layout = 0; layout < layouts.size(); ++layout) {
      const double fitted = square > 0.0 ? captured.dot(layouts[layout]) / square : 1.0;
      const double factor = any_factor ? std::max(0.0, fitted) : 1.0;
      difference[layout] += (captured - factor * layouts[layout]).squaredNorm();
    }
    size += captured.squaredNorm();
    expected += square;
  }
  const auto least = std::min_element(difference.begin(), difference.end());
  const auto layout = static_cast<Layout>(least - difference.begin());
  return size > 0.0 ? Distance{std::sqrt(*least / size), layout}
                    : Distance{expected > 0.0 ? 1.0 : 0.0, Layout::same};
}

Eigen::VectorXd rope_part(const tensor::View3& view, std::int64_t token, std::int64_t head,
                          std::int64_t width) {
  Eigen::VectorXd part(width);
  view.read(token, head, view.width - width, width, part.data());
  return part;
}

/// Places of `all` that are compared: spread evenly, but not so that they follow a period such as
/// that of pages.
std::vector<std::int64_t> compared(std::int64_t all) {
  constexpr double k_golden = 0.6180339887498949;
  const std::int64_t count = std::min(all, k_vectors);
  std::vector<std::int64_t> places;
  for (std::int64_t at = 0; at < count; ++at) {
    const double turn = count < all ? std::fmod(static_cast<double>(at) * k_golden, 1.0) : 0.0;
    places.push_back(static_cast<std::int64_t>(
        (static_cast<double>(at) + turn) * static_cast<double>(all) / static_cast<double>(count)));
  }
  return places;
}

Side queries(const BeforeRope& before) {
  const reference::Problem& problem = before.problem();
  const auto rows = problem.chosen_rows();
  const auto heads = problem.chosen_heads();
  std::vector<std::pair<std::int64_t, std::int64_t>> places;
  Side side;
  // One head after the other, so that none is left out, at rows of all places.
  std::size_t head = 0;
  for (const std::int64_t at : compared(std::ssize(rows) * std::ssize(heads))) {
    places.emplace_back(rows[static_cast<std::size_t>(at / std::ssize(heads))],
                        heads[head++ % heads.size()]);
    side.captured.push_back(
        rope_part(problem.q, places.back().first, places.back().second, problem.qk_rope_head_dim));
  }
  side.rotated = [&before, places](std::size_t at, const Rotation& rotation) {
    return before.query(places[at].first, places[at].second, rotation);
  };
  return side;
}

Side keys(const BeforeRope& before) {
  const reference::Problem& problem = before.problem();
  const tensor::View3& view = problem.k ? *problem.k : *problem.k_pe;
  std::vector<std::pair<tensor::Sequence, std::int64_t>> places;
  for (const tensor::Sequence& sequence : problem.sequences) {
    for (const std::int64_t key : compared(sequence.key_end - sequence.key_begin)) {
      places.emplace_back(sequence, sequence.key_begin + key);
    }
  }
  Side side;
  std::vector<std::pair<tensor::Sequence, std::int64_t>> chosen;
  for (const std::int64_t at : compared(std::ssize(places))) {
    chosen.push_back(places[static_cast<std::size_t>(at)]);
    side.captured.push_back(rope_part(view, chosen.back().second, 0, problem.qk_rope_head_dim));
  }
  side.rotated = [&before, chosen](std::size_t at, const Rotation& rotation) {
    return before.key(chosen[at].first, chosen[at].second, rotation);
  };
  return side;
}

Rotation rotation_of(const Rotary& rotary) {
  return {rotary.interleaved ? Pairing::interleaved : Pairing::halves, rotary.inverse_frequencies,
          rotary.cos_sin_factor, 0.0};
}

/// The bug that gives the captured side, or "".
std::string bug_of(const Side& side, const Rotary& rotary, const Rotation& right, bool of_query) {
  for (const RopeVariant& variant : rope_variants(rotary, right)) {
    const Rotation& wrong = of_query ? variant.query : variant.key;
    if (distance(side, wrong, true).value < k_same_rotation) {
      return variant.id;
    }
  }
  for (int shift = 1; shift <= k_largest_shift; ++shift) {
    for (const int one : {shift, -shift}) {
      Rotation shifted = right;
      shifted.shift = one;
      if (distance(side, shifted, true).value < k_same_rotation) {
        return fmt::format("{} by {}", k_shifted, one);
      }
    }
  }
  return "";
}

} // namespace

CapturedRotation captured_rotation(const BeforeRope& before, const Expectation& expectation) {
  const Rotary& rotary = expectation.rotary;
  const Rotation expected = rotation_of(rotary);
  const Side side = queries(before);
  if (distance(side, expected).value < k_same_rotation) {
    return {expected, true};
  }
  for (const auto pairing : {Pairing::interleaved, Pairing::halves, Pairing::mixed}) {
    for (const auto* frequencies :
         {&rotary.inverse_frequencies, &rotary.plain_inverse_frequencies}) {
      for (const double factor : {rotary.cos_sin_factor, 1.0, expectation.mscale}) {
        const Rotation other{pairing, *frequencies, factor, 0.0};
        if (distance(side, other).value < k_same_rotation) {
          return {other, true};
        }
      }
    }
  }
  return {expected, false};
}

std::vector<std::string> rope_contradictions(const reference::Problem& problem,
                                             const tensor::Capture& capture,
                                             const Expectation& expectation) {
  const auto before = BeforeRope::of(problem, capture, expectation.rotary);
  if (!before || capture.positions_q.empty() || capture.positions_k.empty()) {
    return {};
  }
  const Rotation right = rotation_of(expectation.rotary);
  const Side of_queries = queries(*before);
  const Side of_keys = keys(*before);
  const Distance query = distance(of_queries, right, true);
  const Distance key = distance(of_keys, right, true);
  const std::string query_bug =
      query.value > k_differs ? bug_of(of_queries, expectation.rotary, right, true) : "";
  const std::string key_bug =
      key.value > k_differs ? bug_of(of_keys, expectation.rotary, right, false) : "";
  if (query_bug == key_bug && query_bug.starts_with(k_shifted)) {
    return {
        fmt::format("q and k are as {} leaves them, both: attention is the same, for it depends "
                    "on the difference of two positions alone",
                    query_bug)};
  }
  std::vector<std::string> lines;
  const auto tell = [&](const char* name, const char* from, const char* positions, double value,
                        const std::string& bug) {
    if (value > k_differs) {
      lines.push_back(fmt::format(
          "{0} does not follow from {1}: its rope part is {3:.2g} of its size off the model's RoPE "
          "at {2}{4}; attention was judged with {0} as captured, the fault is before it",
          name, from, positions, value, bug.empty() ? "" : ", as " + bug + " leaves it"));
    }
  };
  tell("q", "q_pre", "positions_q", query.value, query_bug);
  tell("k", "k_pe_pre", "positions_k", key.value, key_bug);
  if (lines.empty() && query.layout != key.layout) {
    lines.emplace_back("q and k have the columns of their rope parts in different orders, "
                       "interleaved against halves: their products are not those of RoPE; "
                       "attention was judged with both as captured, the fault is before it");
  }
  return lines;
}

} // namespace mla_scale::diagnose
