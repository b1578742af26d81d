#pragma once

#include <cstdint>

namespace mla_scale::reference {

/// Some query rows of one head against one tile of keys. `Real` is double or float; matrices are
/// row-major with the given distance between rows.
template <typename Real>
struct AttendBlock {
  std::int64_t rows = 0;
  std::int64_t keys = 0;
  std::int64_t key_width = 0;
  std::int64_t value_width = 0;
  const Real* query = nullptr; ///< [rows, key_width], softmax scale included
  const Real* key = nullptr;   ///< [keys, key_width]
  std::int64_t key_stride = 0;
  const Real* value = nullptr; ///< [keys, value_width]
  std::int64_t value_stride = 0;
  const std::int64_t* visible = nullptr; ///< [rows]: the row sees the first so many keys of the
                                         ///< tile; never falls from one row to the next
  double* maximum = nullptr;             ///< [rows], state of the online softmax; starts at -inf
  double* sum = nullptr;                 ///< [rows], of exp(logit - maximum); starts at 0
  Real* average = nullptr;               ///< [rows, value_width], not yet divided by sum
  Real* scratch = nullptr;               ///< [rows, keys]
};

/// Adds the tile to the rows' state: average = Σ exp(logit - maximum)·v, with earlier tiles
/// rescaled when the maximum moves.
void attend_block(const AttendBlock<double>& block);
void attend_block(const AttendBlock<float>& block);

} // namespace mla_scale::reference
