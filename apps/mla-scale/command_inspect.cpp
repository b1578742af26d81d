#include "command_inspect.hpp"

#include "check_command.hpp"
#include "inputs.hpp"
#include "output.hpp"

#include <mla_scale/check/check.hpp>
#include <mla_scale/report/check_report.hpp>
#include <mla_scale/report/inspect_json.hpp>
#include <mla_scale/report/inspect_text.hpp>

#include <CLI/CLI.hpp>

#include <memory>

namespace mla_scale::cli {
namespace {

struct InspectOptions {
  std::vector<std::string> paths;
  std::vector<std::string> captures;
  OutputOptions output;
};

/// All reports grow while the models are read, so that no model is kept.
ExitCode inspect(const InspectOptions& options) {
  const std::vector<InputFile> files = find_inputs(options.paths);
  const std::vector<OutputTarget> targets = output_targets(options.output);
  std::vector<std::unique_ptr<report::InspectReport>> reports;
  for (const OutputTarget& target : targets) {
    if (target.format == "json") {
      reports.push_back(std::make_unique<report::InspectJson>(files.size()));
    } else {
      reports.push_back(std::make_unique<report::InspectText>(files.size(), target.style));
    }
  }
  const ExitCode verdict = visit_inputs(files, [&](std::size_t i, const report::Inspection& one) {
    for (const auto& report : reports) {
      report->add(i, one);
    }
  });
  return write_outputs(
      targets, [&](std::size_t i) { return reports[i]->finish(); }, verdict);
}

/// `inspect` of one model, then what `check` finds about the captures.
ExitCode inspect_and_check(const InspectOptions& options) {
  if (options.paths.size() != 1) {
    print_error("--check takes one PATH");
    return ExitCode::usage;
  }
  std::optional<report::Inspection> model = read_model(options.paths.front());
  if (!model) {
    return ExitCode::input;
  }
  auto checked = check::check_capture(*model->model.config(), *model->scale,
                                      {options.captures.begin(), options.captures.end()}, {});
  if (!checked) {
    print_error(to_string(checked.error()));
    return ExitCode::input;
  }
  const report::CheckReport result{std::move(*model), std::move(*checked),
                                   check_command(options.paths.front(), options.captures)};
  const auto render = [&](std::string_view format, const TerminalStyle& style) {
    const std::span<const report::Inspection> one(&result.model, 1);
    return format == "json"
               ? report::inspect_check_json(result)
               : report::inspect_text(one, style) + "\n" + report::check_text(result, style);
  };
  return write_outputs(options.output, render, exit_code_of(result.check.judgement.verdict));
}

} // namespace

Action setup_inspect(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  app.add_option("PATH", options->paths, k_path_help)->required();
  app.add_option("--check", options->captures,
                 "Append what `check` finds about CAPTURE; may be repeated")
      ->allow_extra_args(false)
      ->type_name("CAPTURE");
  add_output_options(app, options->output, k_text_and_json);
  return [options] {
    return options->captures.empty() ? inspect(*options) : inspect_and_check(*options);
  };
}

} // namespace mla_scale::cli
