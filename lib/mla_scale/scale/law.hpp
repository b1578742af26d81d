#pragma once

#include <span>
#include <string_view>

namespace mla_scale::scale {

/// One law of attention that a scale, a factor, a mask or an error follows; `explain` prints it.
struct Law {
  std::string_view id;    ///< "softmax-scale"
  std::string_view words; ///< words of reports and configs that it explains, separated by blanks
  std::string_view title;
  std::string_view formula;
  std::string_view why;     ///< what it is for, and what goes wrong without it
  std::string_view example; ///< with numbers
  std::string_view sources;
};

[[nodiscard]] std::span<const Law> laws();

} // namespace mla_scale::scale
