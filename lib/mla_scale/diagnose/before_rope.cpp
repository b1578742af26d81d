#include <mla_scale/compare/level.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/before_rope.hpp>

#include <algorithm>
#include <iterator>

namespace mla_scale::diagnose {
namespace {

/// The last `width` columns, rotated.
Eigen::VectorXd rotated(const tensor::View3& view, std::int64_t token, std::int64_t head,
                        std::int64_t width, double position, const Rotation& rotation) {
  std::vector<double> plain(static_cast<std::size_t>(width));
  view.read(token, head, view.width - width, width, plain.data());
  const std::vector<double> exact = rotate(plain, position, rotation);
  // What fp8 holds was divided by a factor first, which is in the number by now.
  const auto stored = tensor::is_float8(view.tensor->dtype)
                          ? compare::Rounding::none
                          : compare::rounding_of(view.tensor->dtype);
  Eigen::VectorXd result(width);
  for (std::int64_t column = 0; column < width; ++column) {
    result[column] = compare::round_to(stored, exact[static_cast<std::size_t>(column)]);
  }
  return result;
}

} // namespace

std::optional<BeforeRope> BeforeRope::of(const reference::Problem& problem,
                                         const tensor::Capture& capture, const Rotary& rotary) {
  const std::int64_t width = problem.qk_rope_head_dim;
  if (!capture.q_pre || !capture.k_pe_pre || rotary.inverse_frequencies.empty()
      || std::ssize(rotary.inverse_frequencies) * 2 != width || capture.q_pre->width < width
      || capture.k_pe_pre->width != width) {
    return std::nullopt;
  }
  return BeforeRope(problem, capture);
}

BeforeRope::BeforeRope(const reference::Problem& problem, const tensor::Capture& capture)
    : m_problem(&problem), m_capture(&capture), m_width(problem.qk_rope_head_dim),
      m_query_positions(reference::query_positions(capture)) {}

Eigen::VectorXd BeforeRope::query(std::int64_t row, std::int64_t head,
                                  const Rotation& rotation) const {
  const double position =
      row < std::ssize(m_query_positions)
          ? static_cast<double>(m_query_positions[static_cast<std::size_t>(row)])
          : 0.0;
  return rotated(*m_capture->q_pre, row, head, m_width, position, rotation);
}

Eigen::VectorXd BeforeRope::key(const tensor::Sequence& sequence, std::int64_t key,
                                const Rotation& rotation) const {
  const std::vector<std::int64_t>& positions = m_capture->positions_k;
  const std::int64_t position = key < std::ssize(positions)
                                    ? positions[static_cast<std::size_t>(key)]
                                    : key - sequence.key_begin;
  return rotated(*m_capture->k_pe_pre, key, 0, m_width, static_cast<double>(position), rotation);
}

BeforeRope::Matrix BeforeRope::keys(const tensor::Sequence& sequence, const Rotation& rotation,
                                    bool restart, unsigned threads) const {
  Matrix result(sequence.key_end - sequence.key_begin, m_width);
  const auto prefix = result.rows() - (sequence.query_end - sequence.query_begin);
  Rotation moved = rotation;
  moved.shift += restart ? static_cast<double>(prefix) : 0.0;
  constexpr Eigen::Index k_block = 256;
  parallel_for(size((result.rows() + k_block - 1) / k_block), threads, [&](std::size_t block) {
    const Eigen::Index first = static_cast<Eigen::Index>(block) * k_block;
    for (Eigen::Index at = first; at < std::min(first + k_block, result.rows()); ++at) {
      result.row(at) = key(sequence, sequence.key_begin + at, at < prefix ? moved : rotation);
    }
  });
  return result;
}

} // namespace mla_scale::diagnose
