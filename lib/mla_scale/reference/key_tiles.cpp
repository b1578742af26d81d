#include <mla_scale/reference/key_tiles.hpp>

#include <Eigen/Core>

#include <algorithm>

namespace mla_scale::reference {
namespace {

template <typename Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename Real>
using ConstMap = Eigen::Map<const Matrix<Real>>;
/// A matrix whose rows are `outer stride` apart.
template <typename Real>
using StridedMap = Eigen::Map<Matrix<Real>, 0, Eigen::OuterStride<>>;

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

/// [tokens, width] of one head.
template <typename Real>
std::vector<Real> read_head(const tensor::View3& view, std::int64_t head) {
  std::vector<Real> values(size(view.tokens * view.width));
  for (std::int64_t token = 0; token < view.tokens; ++token) {
    view.read(token, head, 0, view.width, values.data() + token * view.width);
  }
  return values;
}

std::int64_t head_in(const tensor::View3& view, std::int64_t head) {
  return view.heads == 1 ? 0 : head;
}

} // namespace

template <typename Real>
KeyTiles<Real>::KeyTiles(const Problem& problem, std::int64_t head)
    : m_problem(problem), m_head(head), m_form(problem.form), m_nope(problem.nope_width()),
      m_rope(problem.qk_rope_head_dim) {
  m_key_width = problem.q.width;
  m_value_width = problem.v_width();
  if (m_form == Form::expanded) {
    return;
  }
  m_rank = problem.kv_c->width;
  m_w_uk = read_head<Real>(*problem.w_uk, head);
  if (m_form == Form::latent) {
    m_w_uv = read_head<Real>(*problem.w_uv, head);
  } else {
    m_w_uv_exact = read_head<double>(*problem.w_uv, head);
    m_key_width = m_rank + m_rope;
    m_value_width = m_rank;
  }
}

template <typename Real>
void KeyTiles<Real>::load(std::int64_t first, std::int64_t count, Real* key, Real* value) {
  if (m_form == Form::expanded) {
    const tensor::View3& k = *m_problem.k;
    const tensor::View3& v = *m_problem.v;
    for (std::int64_t j = 0; j < count; ++j) {
      k.read(first + j, head_in(k, m_head), 0, m_key_width, key + j * m_key_width);
      v.read(first + j, head_in(v, m_head), 0, m_value_width, value + j * m_value_width);
    }
    return;
  }
  const std::int64_t rope_column = m_key_width - m_rope;
  for (std::int64_t j = 0; m_rope > 0 && j < count; ++j) {
    m_problem.k_pe->read(first + j, 0, 0, m_rope, key + j * m_key_width + rope_column);
  }
  if (m_form == Form::absorbed) {
    for (std::int64_t j = 0; j < count; ++j) {
      m_problem.kv_c->read(first + j, 0, 0, m_rank, key + j * m_key_width);
    }
    return;
  }
  m_latent.resize(size(count * m_rank));
  for (std::int64_t j = 0; j < count; ++j) {
    m_problem.kv_c->read(first + j, 0, 0, m_rank, m_latent.data() + j * m_rank);
  }
  const ConstMap<Real> latent(m_latent.data(), count, m_rank);
  StridedMap<Real>(key, count, m_nope, Eigen::OuterStride<>(m_key_width)).noalias() =
      latent * ConstMap<Real>(m_w_uk.data(), m_nope, m_rank).transpose();
  StridedMap<Real>(value, count, m_value_width, Eigen::OuterStride<>(m_value_width)).noalias() =
      latent * ConstMap<Real>(m_w_uv.data(), m_value_width, m_rank).transpose();
}

template <typename Real>
void KeyTiles<Real>::load_query(std::int64_t row, Real factor, Real* query) {
  const tensor::View3& q = m_problem.q;
  if (m_form != Form::absorbed) {
    q.read(row, m_head, 0, m_key_width, query);
  } else {
    m_latent.resize(size(m_nope));
    q.read(row, m_head, 0, m_nope, m_latent.data());
    Eigen::Map<Matrix<Real>>(query, 1, m_rank).noalias() =
        ConstMap<Real>(m_latent.data(), 1, m_nope) * ConstMap<Real>(m_w_uk.data(), m_nope, m_rank);
    q.read(row, m_head, m_nope, m_rope, query + m_rank);
  }
  std::for_each(query, query + m_key_width, [factor](Real& x) { x *= factor; });
}

template <typename Real>
void KeyTiles<Real>::finish(const double* average, double* out) const {
  if (m_form != Form::absorbed) {
    std::copy_n(average, m_value_width, out);
    return;
  }
  const std::int64_t v_width = m_problem.v_width();
  Eigen::Map<Matrix<double>>(out, v_width, 1).noalias() =
      ConstMap<double>(m_w_uv_exact.data(), v_width, m_rank) * ConstMap<double>(average, m_rank, 1);
}

template class KeyTiles<double>;
template class KeyTiles<float>;

} // namespace mla_scale::reference
