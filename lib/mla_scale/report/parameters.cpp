#include <mla_scale/report/parameters.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <type_traits>

namespace mla_scale::report {

std::string parameters_of(const diagnose::Finding& finding) {
  std::vector<std::string> parts;
  for (const diagnose::Parameter& parameter : finding.parameters) {
    const std::string value = std::visit(
        [](const auto& v) {
          if constexpr (std::is_same_v<std::decay_t<decltype(v)>, double>) {
            return fmt::format("{:.7g}", v);
          } else {
            return fmt::format("{}", v);
          }
        },
        parameter.value);
    parts.push_back(fmt::format("{} {}", parameter.name, value));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

} // namespace mla_scale::report
