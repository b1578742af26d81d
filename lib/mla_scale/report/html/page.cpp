#include <mla_scale/core/version.hpp>
#include <mla_scale/report/html/page.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

namespace mla_scale::report::html {

std::string page(std::string_view title, std::string_view body) {
  const std::string policy =
      fmt::format("default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; "
                  "base-uri 'none'; form-action 'none'",
                  style_digest(), script_digest());
  return fmt::format("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\"/>\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                     "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
                     "<meta name=\"generator\" content=\"mla-scale {}\"/>\n"
                     "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}</main>\n"
                     "<footer>mla-scale {}</footer>\n<script>{}</script>\n</body>\n</html>\n",
                     policy, k_version, xml_text(title), style_sheet(), body, k_version, script());
}

} // namespace mla_scale::report::html
