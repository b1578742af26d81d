#include "command_inspect.hpp"

#include "inputs.hpp"
#include "output.hpp"

#include <mla_scale/report/inspect_json.hpp>
#include <mla_scale/report/inspect_text.hpp>

#include <CLI/CLI.hpp>

#include <memory>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_formats[] = {"text", "json"};

struct Options {
  std::vector<std::string> paths;
  OutputOptions output;
};

ExitCode inspect(const Options& options) {
  const Inputs inputs = read_inputs(options.paths);
  const auto render = [&](std::string_view format, const TerminalStyle& style) {
    return format == "json" ? report::inspect_json(inputs.inspections)
                            : report::inspect_text(inputs.inspections, style);
  };
  return write_outputs(options.output, render, inputs.verdict);
}

} // namespace

Action setup_inspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("PATH", options->paths, k_path_help)->required();
  add_output_options(app, options->output, k_formats);
  return [options] { return inspect(*options); };
}

} // namespace mla_scale::cli
