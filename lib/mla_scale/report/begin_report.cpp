#include <mla_scale/core/version.hpp>
#include <mla_scale/report/begin_report.hpp>

namespace mla_scale::report {

void begin_report(json::Writer& writer) {
  writer.begin_object().member("schema_version", 1);
  writer.key("tool")
      .begin_object()
      .member("name", "mla-scale")
      .member("version", k_version)
      .end_object();
}

} // namespace mla_scale::report
