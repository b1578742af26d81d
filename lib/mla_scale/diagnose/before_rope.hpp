#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/rotary.hpp>
#include <mla_scale/reference/problem.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mla_scale::diagnose {

/// The rope parts of q and k as captured before RoPE, with their positions, and what rotations make
/// of them in the dtype that a kernel would read.
class BeforeRope {
public:
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  /// Nothing when the capture lacks q_pre or k_pe_pre, or the frequencies are not known.
  /// \pre problem and capture live as long as the result
  [[nodiscard]] static std::optional<BeforeRope>
  of(const reference::Problem& problem, const tensor::Capture& capture, const Rotary& rotary);

  /// [qk_rope_head_dim]
  [[nodiscard]] Eigen::VectorXd query(std::int64_t row, std::int64_t head,
                                      const Rotation& rotation) const;
  [[nodiscard]] Eigen::VectorXd key(const tensor::Sequence& sequence, std::int64_t key,
                                    const Rotation& rotation) const;
  /// [keys of the sequence, qk_rope_head_dim]
  /// `restart`: as if the positions began again at 0 behind the prefix; against queries that keep
  /// theirs, the prefix is its own length further away. On so many threads.
  [[nodiscard]] Matrix keys(const tensor::Sequence& sequence, const Rotation& rotation,
                            bool restart, unsigned threads) const;

  [[nodiscard]] const reference::Problem& problem() const { return *m_problem; }

private:
  BeforeRope(const reference::Problem& problem, const tensor::Capture& capture);

  const reference::Problem* m_problem;
  const tensor::Capture* m_capture;
  std::int64_t m_width;
  std::vector<std::int64_t> m_query_positions;
};

} // namespace mla_scale::diagnose
