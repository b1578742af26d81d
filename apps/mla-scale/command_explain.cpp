#include "command_explain.hpp"

#include "man_page.hpp"
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

struct ExplainOptions {
  std::vector<std::string> ids;
  bool list = false;
  OutputOptions output;
};

/// What is printed as it is, beside the entries of tables.
struct Document {
  explain::Entry entry;
  std::string (*text)(const CLI::App& root);
};

const std::vector<Document>& documents() {
  static const std::vector<Document> k_documents = {
      {{"schema", "schema", "JSON Schema of the reports of every command, -f json", {}},
       [](const CLI::App&) { return std::string(report::json_schema()); }},
      {{"man", "manual", "the manual page of mla-scale, for man -l -", {}},
       [](const CLI::App& root) { return man_page(describe(root)); }},
  };
  return k_documents;
}

/// The entries to show, or nothing after a complaint about an unknown identifier.
std::vector<const explain::Entry*> chosen(const ExplainOptions& options) {
  std::vector<const explain::Entry*> entries;
  if (options.ids.empty()) {
    for (const explain::Entry& entry : explain::entries()) {
      entries.push_back(&entry);
    }
    for (const Document& document : documents()) {
      entries.push_back(&document.entry);
    }
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

ExitCode run_explain(const ExplainOptions& options, const CLI::App& root) {
  for (const Document& document : documents()) {
    if (options.ids.size() == 1 && options.ids.front() == document.entry.id) {
      const auto render = [&](std::string_view, const TerminalStyle&) {
        return document.text(root);
      };
      return write_outputs(options.output, render, ExitCode::fine);
    }
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
  auto options = std::make_shared<ExplainOptions>();
  CLI::Option* ids = app.add_option(
      "ID", options->ids,
      "A rule (MLA303 or its slug), engine, family, law or hypothesis; a word of a report, such as "
      "floor; or schema, man");
  app.add_flag("--list", options->list, "List every identifier; the same as no ID")->excludes(ids);
  add_output_options(app, options->output, k_text_and_json);
  return [options, &app] { return run_explain(*options, *app.get_parent()); };
}

} // namespace mla_scale::cli
