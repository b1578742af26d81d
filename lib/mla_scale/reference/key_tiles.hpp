#pragma once

#include <mla_scale/reference/problem.hpp>

#include <cstdint>
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
  /// value_width] (untouched when values_in_keys()).
  void load(std::int64_t first, std::int64_t count, Real* key, Real* value);

  /// Query row `row` times `factor` as [key_width]: q itself, or [W_UKᵀ · q_nope | q_pe] in
  /// absorbed form.
  void load_query(std::int64_t row, Real factor, Real* query);

  /// The head's output from the softmax average of the values: a copy, or W_UV times it.
  void finish(const double* average, double* out) const;

private:
  const Problem& m_problem;
  std::int64_t m_head;
  Form m_form;
  std::int64_t m_key_width = 0;
  std::int64_t m_value_width = 0;
  std::int64_t m_nope = 0;
  std::int64_t m_rope = 0;
  std::int64_t m_rank = 0;
  std::vector<Real> m_w_uk; // [nope, rank] of this head
  std::vector<Real> m_w_uv; // [v, rank]
  std::vector<double> m_w_uv_exact;
  std::vector<Real> m_latent; // one tile of kv_c, or one q_nope
};

extern template class KeyTiles<double>;
extern template class KeyTiles<float>;

} // namespace mla_scale::reference
