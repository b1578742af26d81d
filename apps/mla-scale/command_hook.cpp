#include "command_hook.hpp"

#include "output.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/hook/hook.hpp>
#include <mla_scale/report/hook_report.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

namespace mla_scale::cli {
namespace {

struct HookOptions {
  std::string engine;
  bool list = false;
  OutputOptions output;
};

ExitCode run_hook(const HookOptions& options) {
  if (options.engine.empty() && !options.list) {
    print_error("hook needs an engine, or --list");
    print_error("see 'mla-scale hook --help'");
    return ExitCode::usage;
  }
  const hook::Hook* const one = options.list ? nullptr : hook::find_hook(options.engine);
  if (one == nullptr && !options.list) {
    const std::string_view near = hook::nearest_hook(options.engine);
    print_error(fmt::format("there is no hook for '{}'{}", escape_control(options.engine),
                            near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    print_error("see 'mla-scale hook --list'");
    return ExitCode::usage;
  }
  const auto render = [&](std::string_view format, const TerminalStyle& style) {
    const auto rows = one == nullptr ? hook::hooks() : std::span<const hook::Hook>(one, 1);
    if (format == "json") {
      return report::hook_json(rows, one != nullptr);
    }
    return one == nullptr ? report::hook_list_text(rows, style) : std::string(one->python);
  };
  return write_outputs(options.output, render, ExitCode::fine);
}

} // namespace

Action setup_hook(CLI::App& app) {
  auto options = std::make_shared<HookOptions>();
  CLI::Option* const engine =
      app.add_option("ENGINE", options->engine, "transformers, vllm or sglang; --list says more");
  app.add_flag("--list", options->list, "List the engines that there are hooks for")
      ->excludes(engine);
  add_output_options(app, options->output, k_text_and_json);
  return [options] { return run_hook(*options); };
}

} // namespace mla_scale::cli
