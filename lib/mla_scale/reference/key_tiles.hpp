#pragma once

#include <mla_scale/reference/kernel.hpp>
#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace mla_scale::reference {

/// Keys and values of one head, a tile at a time, as the kernel wants them: converted, and for the
/// latent form multiplied by W_UK and W_UV.
///
/// Key widths: qk_head_dim (nope first); kv_lora_rank + qk_rope_head_dim in absorbed form. Value
/// widths: v_head_dim; in absorbed form the first kv_lora_rank columns of the key. `Real` is double
/// or float.
template <typename Real>
class KeyTiles {
public:
  KeyTiles(const Problem& problem, std::int64_t head);

  [[nodiscard]] std::int64_t key_width() const { return m_key_width; }
  [[nodiscard]] std::int64_t value_width() const { return m_value_width; }
  /// True when values are not stored apart but are the first columns of the keys (absorbed form).
  [[nodiscard]] bool values_in_keys() const { return m_form == Form::absorbed; }

  /// Key rows [first, first + count) of the capture to key [count, key_width] and value [count,
  /// value_width] (untouched when values_in_keys()). Null for one of them leaves it out, and what
  /// it would cost; `key` is needed when values_in_keys().
  void load(std::int64_t first, std::int64_t count, Real* key, Real* value);

  /// Query row `row` times `factor` as [key_width]: q itself, or [W_UKᵀ · q_nope | q_pe] in
  /// absorbed form.
  void load_query(std::int64_t row, Real factor, Real* query);
  /// At most `lanes` query rows, each times its factor, as the first columns of a panel
  /// [key_width, lanes].
  void load_queries(std::span<const std::int64_t> rows, std::span<const Real> factors, Real* panel);

  /// The head's output from the softmax average of the values: a copy, or W_UV times it.
  void finish(const double* average, double* out) const;
  /// In absorbed form, as above for a panel: [value_width, lanes] to [v_head_dim, lanes] with room
  /// for k_kernel_slack rows more.
  void finish_panel(const Real* averages, Real* out) const;

private:
  void expand(std::int64_t count, const std::vector<Real>& weights, std::int64_t width, Real* out,
              std::int64_t out_stride);

  const Problem& m_problem;
  const PanelFunctions<Real>& m_kernel;
  std::int64_t m_head;
  Form m_form;
  std::int64_t m_key_width = 0;
  std::int64_t m_value_width = 0;
  std::int64_t m_nope = 0;
  std::int64_t m_rope = 0;
  std::int64_t m_rank = 0;
  std::vector<Real> m_w_uk; // of this head: [nope, rank], or panels of W_UKᵀ in latent form
  std::vector<Real> m_w_uv; // [v, rank], or panels
  std::vector<double> m_w_uv_exact;
  std::vector<Real> m_latent;   // one tile of kv_c, or the q_nope of one panel
  std::vector<Real> m_expanded; // one panel of a product
};

extern template class KeyTiles<double>;
extern template class KeyTiles<float>;

} // namespace mla_scale::reference
