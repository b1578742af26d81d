#pragma once

#include <string>
#include <string_view>

namespace mla_scale::report {

/// Text fit for an attribute or an element of XML, without control characters.
[[nodiscard]] std::string xml_text(std::string_view text);

} // namespace mla_scale::report
