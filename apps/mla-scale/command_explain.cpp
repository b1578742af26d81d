#include "command_explain.hpp"

#include "output.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/report/explain_json.hpp>
#include <mla_scale/report/explain_text.hpp>
#include <mla_scale/report/schema.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_formats[] = {"text", "json"};

struct Options {
  std::vector<std::string> ids;
  bool list = false;
  OutputOptions output;
};

constexpr std::string_view k_schema_id = "schema";

/// What stands in the list for the JSON Schema, which is printed as it is.
const explain::Entry& schema_entry() {
  static const explain::Entry k_entry{std::string(k_schema_id),
                                      "schema",
                                      "JSON Schema of the reports of every command, -f json",
                                      {}};
  return k_entry;
}

/// The entries to show, or nothing after a complaint about an unknown identifier.
std::vector<const explain::Entry*> chosen(const Options& options) {
  std::vector<const explain::Entry*> entries;
  if (options.ids.empty()) {
    for (const explain::Entry& entry : explain::entries()) {
      entries.push_back(&entry);
    }
    entries.push_back(&schema_entry());
    return entries;
  }
  for (const std::string& id : options.ids) {
    const explain::Entry* entry = explain::find_entry(id);
    if (entry == nullptr) {
      const std::string_view near = explain::nearest_entry(id);
      print_error(fmt::format("'{}' is no rule, engine, family, law or hypothesis{}",
                              escape_control(id),
                              near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
      print_error("see 'mla-scale explain --list'");
      return {};
    }
    entries.push_back(entry);
  }
  return entries;
}

ExitCode print_schema(const Options& options) {
  return write_outputs(
      options.output,
      [](std::string_view, const TerminalStyle&) { return std::string(report::json_schema()); },
      ExitCode::fine);
}

ExitCode run_explain(const Options& options) {
  if (options.ids.size() == 1 && options.ids.front() == k_schema_id) {
    return print_schema(options);
  }
  const std::vector<const explain::Entry*> entries = chosen(options);
  if (entries.empty()) {
    return ExitCode::usage;
  }
  const bool list = options.ids.empty();
  const auto render = [&](std::string_view format, const TerminalStyle& style) {
    if (format == "json") {
      return report::explain_json(entries, !list);
    }
    return list ? report::explain_list_text(entries, style) : report::explain_text(entries, style);
  };
  return write_outputs(options.output, render, ExitCode::fine);
}

} // namespace

Action setup_explain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::Option* ids =
      app.add_option("ID", options->ids,
                     "A rule (MLA303 or its slug), engine, family, law or hypothesis; or schema");
  app.add_flag("--list", options->list, "List every identifier; the same as no ID")->excludes(ids);
  add_output_options(app, options->output, k_formats);
  return [options] { return run_explain(*options); };
}

} // namespace mla_scale::cli
