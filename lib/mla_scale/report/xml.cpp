#include <mla_scale/core/text.hpp>
#include <mla_scale/report/xml.hpp>

namespace mla_scale::report {

std::string xml_text(std::string_view text) {
  std::string escaped;
  for (const char c : escape_control(text)) {
    switch (c) {
    case '&':
      escaped += "&amp;";
      break;
    case '<':
      escaped += "&lt;";
      break;
    case '>':
      escaped += "&gt;";
      break;
    case '"':
      escaped += "&quot;";
      break;
    default:
      escaped += c;
    }
  }
  return escaped;
}

} // namespace mla_scale::report
