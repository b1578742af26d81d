#include <mla_scale/diagnose/before_rope.hpp>
#include <mla_scale/diagnose/captured_rotation.hpp>
#include <mla_scale/diagnose/rope_variants.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

namespace mla_scale::diagnose {
namespace {

constexpr std::size_t k_vectors = 64;    // compared
constexpr double k_same_rotation = 0.02; // of the size: what bf16 leaves, and more
constexpr double k_differs = 0.1;        // what no rounding leaves, e4m3's neither

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

/// |captured - rotated| / |captured| over all vectors, in the layout in which it is least: a
/// permutation of columns that q and k share changes nothing.
/// `any_factor`: as if captured had been multiplied by the number that fits best.
double distance(const Side& side, const Rotation& rotation, bool any_factor = false) {
  Eigen::Array3d difference = Eigen::Array3d::Zero();
  double size = 0.0;
  for (std::size_t at = 0; at < side.captured.size(); ++at) {
    const Eigen::VectorXd& captured = side.captured[at];
    const Eigen::VectorXd plain = side.rotated(at, rotation);
    Eigen::Index layout = 0;
    for (const Eigen::VectorXd& vector :
         {plain, in_other_layout(plain, true), in_other_layout(plain, false)}) {
      const double square = vector.squaredNorm();
      const double factor = any_factor && square > 0.0 ? captured.dot(vector) / square : 1.0;
      difference[layout++] += (captured - factor * vector).squaredNorm();
    }
    size += captured.squaredNorm();
  }
  return size > 0.0 ? std::sqrt(difference.minCoeff() / size) : 0.0;
}

Eigen::VectorXd rope_part(const tensor::View3& view, std::int64_t token, std::int64_t head,
                          std::int64_t width) {
  Eigen::VectorXd part(width);
  view.read(token, head, view.width - width, width, part.data());
  return part;
}

Side queries(const BeforeRope& before) {
  const reference::Problem& problem = before.problem();
  const auto rows = problem.chosen_rows();
  const auto heads = problem.chosen_heads();
  std::vector<std::pair<std::int64_t, std::int64_t>> places;
  Side side;
  const std::size_t all = rows.size() * heads.size();
  for (std::size_t at = 0; at < all; at += 1 + all / k_vectors) {
    places.emplace_back(rows[at / heads.size()], heads[at % heads.size()]);
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
  Side side;
  std::int64_t all = 0;
  for (const tensor::Sequence& sequence : problem.sequences) {
    all += sequence.key_end - sequence.key_begin;
  }
  const std::int64_t step = 1 + all / static_cast<std::int64_t>(k_vectors);
  for (const tensor::Sequence& sequence : problem.sequences) {
    for (std::int64_t key = sequence.key_begin; key < sequence.key_end; key += step) {
      places.emplace_back(sequence, key);
      side.captured.push_back(rope_part(view, key, 0, problem.qk_rope_head_dim));
    }
  }
  side.rotated = [&before, places](std::size_t at, const Rotation& rotation) {
    return before.key(places[at].first, places[at].second, rotation);
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
    if (distance(side, wrong, true) < k_same_rotation) {
      return variant.id;
    }
  }
  for (int shift = 1; shift <= k_largest_shift; ++shift) {
    for (const int one : {shift, -shift}) {
      Rotation shifted = right;
      shifted.shift = one;
      if (distance(side, shifted, true) < k_same_rotation) {
        return fmt::format("rope.positions_shifted by {}", one);
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
  if (distance(side, expected) < k_same_rotation) {
    return {expected, true};
  }
  for (const auto pairing : {Pairing::interleaved, Pairing::halves, Pairing::mixed}) {
    for (const auto* frequencies :
         {&rotary.inverse_frequencies, &rotary.plain_inverse_frequencies}) {
      for (const double factor : {rotary.cos_sin_factor, 1.0, expectation.mscale}) {
        const Rotation other{pairing, *frequencies, factor, 0.0};
        if (distance(side, other) < k_same_rotation) {
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
  std::vector<std::string> lines;
  for (const bool of_query : {true, false}) {
    const Side side = of_query ? queries(*before) : keys(*before);
    const double differs = distance(side, right, true);
    if (!(differs > k_differs)) {
      continue; // or not a number: what is not finite says nothing
    }
    const std::string bug = bug_of(side, expectation.rotary, right, of_query);
    lines.push_back(fmt::format(
        "{0} does not follow from {1}: its rope part is {2:.2g} of its size off the model's "
        "RoPE{3}; attention was judged with {0} as captured, the fault is upstream",
        of_query ? "q" : "k", of_query ? "q_pre" : "k_pe_pre", differs,
        bug.empty() ? "" : ", as " + bug + " leaves it"));
  }
  return lines;
}

} // namespace mla_scale::diagnose
