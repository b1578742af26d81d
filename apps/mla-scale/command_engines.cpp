#include "command_engines.hpp"

#include "inputs.hpp"
#include "output.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/report/engines_json.hpp>
#include <mla_scale/report/engines_text.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace mla_scale::cli {
namespace {

struct EnginesOptions {
  std::vector<std::string> paths;
  std::vector<std::string> engines;
  OutputOptions output;
};

std::string unknown_engine(const std::string& id) {
  std::vector<std::string_view> ids;
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    ids.push_back(rule.id);
  }
  const std::string_view near = likely_name(id, ids);
  return fmt::format("there is no engine \"{}\"{}", escape_control(id),
                     near.empty() ? "; mla-scale explain --list names them"
                                  : fmt::format("; did you mean \"{}\"?", near));
}

/// The rows that --engine names, in the order of the table; all of them without it. Empty after an
/// unknown name.
std::vector<const engines::EngineRule*> choose_rules(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    if (engines::find_engine_rule(id) == nullptr) {
      print_error(unknown_engine(id));
      return {};
    }
  }
  std::vector<const engines::EngineRule*> rules;
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    if (ids.empty() || std::find(ids.begin(), ids.end(), rule.id) != ids.end()) {
      rules.push_back(&rule);
    }
  }
  return rules;
}

ExitCode compare(const EnginesOptions& options) {
  const std::vector<const engines::EngineRule*> rules = choose_rules(options.engines);
  if (rules.empty()) {
    return ExitCode::usage;
  }
  const Inputs inputs = read_inputs(options.paths);
  std::vector<report::EngineComparison> comparisons;
  for (const report::Inspection& inspection : inputs.inspections) {
    comparisons.push_back(report::compare_engines(inspection, rules));
  }
  const auto render = [&](std::string_view format, const TerminalStyle& style) {
    return format == "json" ? report::engines_json(comparisons)
                            : report::engines_text(comparisons, style);
  };
  return write_outputs(options.output, render, inputs.verdict);
}

} // namespace

Action setup_engines(CLI::App& app) {
  auto options = std::make_shared<EnginesOptions>();
  app.add_option("PATH", options->paths, k_path_help)->required();
  app.add_option("--engine", options->engines,
                 "Only this rule, such as vllm or vllm@32623; may be repeated")
      ->allow_extra_args(false)
      ->type_name("ID");
  add_output_options(app, options->output, k_text_and_json);
  return [options] { return compare(*options); };
}

} // namespace mla_scale::cli
