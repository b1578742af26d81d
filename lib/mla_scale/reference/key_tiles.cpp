#include <mla_scale/core/number.hpp>
#include <mla_scale/reference/kernel_choice.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <Eigen/Core>

#include <algorithm>

namespace mla_scale::reference {
namespace {

template <typename Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename Real>
using ConstMap = Eigen::Map<const Matrix<Real>>;
/// [tokens, width] of one head, with room for the kernel to read past the end.
template <typename Real>
std::vector<Real> read_head(const tensor::View3& view, std::int64_t head) {
  std::vector<Real> values(size((view.tokens + k_kernel_slack) * view.width));
  for (std::int64_t token = 0; token < view.tokens; ++token) {
    view.read(token, head, 0, view.width, values.data() + token * view.width);
  }
  return values;
}

/// Columns [0, width) of tokens [first, first + count), `stride` apart in `out`.
template <typename Real>
void read_rows(const tensor::View3& view, std::int64_t first, std::int64_t count, std::int64_t head,
               std::int64_t width, Real* out, std::int64_t stride) {
  constexpr std::int64_t k_ahead = 8; // as long as memory takes to answer
  for (std::int64_t j = 0; j < count; ++j) {
    view.prefetch(first + j + k_ahead, head, 0, width);
    view.read(first + j, head, 0, width, out + j * stride);
  }
}

std::int64_t head_in(const tensor::View3& view, std::int64_t head) {
  return view.heads == 1 ? 0 : head;
}

/// The transpose of a matrix [rows, columns] as panels [columns, lanes], one for each `lanes` rows.
template <typename Real>
std::vector<Real> transposed_panels(const std::vector<Real>& matrix, std::int64_t rows,
                                    std::int64_t columns, std::int64_t lanes) {
  const std::int64_t panels = (rows + lanes - 1) / lanes;
  std::vector<Real> result(size(panels * columns * lanes));
  for (std::int64_t row = 0; row < rows; ++row) {
    Real* const lane = result.data() + row / lanes * columns * lanes + row % lanes;
    for (std::int64_t column = 0; column < columns; ++column) {
      lane[column * lanes] = matrix[size(row * columns + column)];
    }
  }
  return result;
}

} // namespace

template <typename Real>
KeyTiles<Real>::KeyTiles(const Problem& problem, std::int64_t head)
    : m_problem(problem), m_kernel(functions_of<Real>(problem.kernel_in_use())), m_head(head),
      m_form(problem.form), m_nope(problem.nope_width()), m_rope(problem.qk_rope_head_dim) {
  m_key_width = problem.q.width;
  m_value_width = problem.v_width();
  if (m_form == Form::expanded) {
    return;
  }
  m_rank = problem.kv_c->width;
  m_w_uk = read_head<Real>(*problem.w_uk, head);
  m_w_uv = read_head<Real>(*problem.w_uv, head);
  if (m_form == Form::latent) {
    m_w_uk = transposed_panels(m_w_uk, m_nope, m_rank, m_kernel.lanes);
    m_w_uv = transposed_panels(m_w_uv, m_value_width, m_rank, m_kernel.lanes);
  } else {
    m_w_uv_exact = read_head<double>(*problem.w_uv, head);
    m_key_width = m_rank + m_rope;
    m_value_width = m_rank;
  }
}

template <typename Real>
void KeyTiles<Real>::expand(std::int64_t count, const std::vector<Real>& weights,
                            std::int64_t width, Real* out, std::int64_t out_stride) {
  const std::int64_t lanes = m_kernel.lanes;
  m_expanded.resize(size((count + k_kernel_slack) * lanes));
  for (std::int64_t first = 0; first < width; first += lanes) {
    m_kernel.multiply({count, m_rank, m_latent.data(), m_rank, false,
                       weights.data() + first * m_rank, m_expanded.data()});
    const std::int64_t columns = std::min(lanes, width - first);
    for (std::int64_t j = 0; j < count; ++j) {
      std::copy_n(m_expanded.data() + j * lanes, columns, out + j * out_stride + first);
    }
  }
}

template <typename Real>
void KeyTiles<Real>::load(std::int64_t first, std::int64_t count, Real* key, Real* value) {
  if (m_form == Form::expanded) {
    const tensor::View3& k = *m_problem.k;
    const tensor::View3& v = *m_problem.v;
    if (key != nullptr) {
      read_rows(k, first, count, head_in(k, m_head), m_key_width, key, m_key_width);
    }
    if (value != nullptr) {
      read_rows(v, first, count, head_in(v, m_head), m_value_width, value, m_value_width);
    }
    return;
  }
  const std::int64_t rope_column = m_key_width - m_rope;
  if (m_rope > 0 && key != nullptr) {
    read_rows(*m_problem.k_pe, first, count, 0, m_rope, key + rope_column, m_key_width);
  }
  if (m_form == Form::absorbed) {
    read_rows(*m_problem.kv_c, first, count, 0, m_rank, key, m_key_width);
    return;
  }
  m_latent.resize(size((count + k_kernel_slack) * m_rank));
  read_rows(*m_problem.kv_c, first, count, 0, m_rank, m_latent.data(), m_rank);
  if (key != nullptr) {
    expand(count, m_w_uk, m_nope, key, m_key_width);
  }
  if (value != nullptr) {
    expand(count, m_w_uv, m_value_width, value, m_value_width);
  }
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
void KeyTiles<Real>::load_queries(std::span<const std::int64_t> rows, std::span<const Real> factors,
                                  Real* panel) {
  const std::int64_t lanes = m_kernel.lanes;
  const tensor::View3& q = m_problem.q;
  std::vector<Real> row(size(q.width));
  const bool absorbed = m_form == Form::absorbed;
  // The nope part waits in m_latent, or goes straight to the panel.
  m_latent.assign(absorbed ? size(m_nope * lanes) : 0, Real{0});
  Real* const nope = absorbed ? m_latent.data() : panel;
  Real* const rope = panel + (absorbed ? m_rank : m_nope) * lanes;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    q.read(rows[i], m_head, 0, q.width, row.data());
    for (std::int64_t c = 0; c < q.width; ++c) {
      Real* const column = c < m_nope ? nope + c * lanes : rope + (c - m_nope) * lanes;
      column[i] = row[size(c)] * factors[i];
    }
  }
  if (absorbed) {
    // Rounded up, the product runs into the rope columns: the result is copied from its own place.
    m_expanded.resize(size((m_rank + k_kernel_slack) * lanes));
    m_kernel.multiply(
        {m_rank, m_nope, m_w_uk.data(), m_rank, true, m_latent.data(), m_expanded.data()});
    std::copy_n(m_expanded.data(), m_rank * lanes, panel);
  }
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

template <typename Real>
void KeyTiles<Real>::finish_panel(const Real* averages, Real* out) const {
  m_kernel.multiply({m_problem.v_width(), m_rank, m_w_uv.data(), m_rank, false, averages, out});
}

template class KeyTiles<double>;
template class KeyTiles<float>;

} // namespace mla_scale::reference
