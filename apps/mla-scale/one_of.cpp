#include "one_of.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace mla_scale::cli {

OneOf::OneOf(std::vector<std::string> names)
    // In braces, where command_line.cpp finds the names again.
    : Validator(fmt::format("{{{}}}", fmt::join(names, ","))) {
  func_ = [names = std::move(names)](const std::string& given) {
    if (std::find(names.begin(), names.end(), given) != names.end()) {
      return std::string();
    }
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view near = closest_match(given, views);
    return fmt::format("'{}' is not one of {}{}", escape_control(given), fmt::join(names, ", "),
                       near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
  };
}

} // namespace mla_scale::cli
