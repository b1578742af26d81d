#include <mla_scale/compare/clustered_error.hpp>

#include <algorithm>

namespace mla_scale::compare {

double few_rows_factor(double degrees_of_freedom) {
  constexpr double k_most = 10.0;
  // Cornish and Fisher's expansion: (z² + 1) / 4ν + (5z⁴ + 16z² + 3) / 96ν², z = 3.
  const double inverse = 1.0 / std::max(degrees_of_freedom, 0.0);
  return std::min(k_most, 1.0 + 2.5 * inverse + 5.75 * inverse * inverse);
}

} // namespace mla_scale::compare
