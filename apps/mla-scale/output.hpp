#pragma once

#include "exit_code.hpp"
#include "terminal.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace mla_scale::cli {

/// -f, -o and --color of one command.
struct OutputOptions {
  std::string format = "text";
  std::vector<std::string> files; ///< FORMAT:FILE, as given
  std::string color = "auto";
};

/// The formats of most commands.
inline constexpr std::string_view k_text_and_json[] = {"text", "json"};

/// Adds -f/--format, repeatable -o FORMAT:FILE and --color to a command.
void add_output_options(CLI::App& app, OutputOptions& options,
                        std::span<const std::string_view> formats);

/// One place that a report goes to.
struct OutputTarget {
  std::string format;
  TerminalStyle style;
  std::string file; ///< "-" is standard output
};

/// Standard output in the format of -f, then the files of -o.
[[nodiscard]] std::vector<OutputTarget> output_targets(const OutputOptions& options);

/// Renders a result in one format. Called once for each format that was asked for.
using Render = std::function<std::string(std::string_view format, const TerminalStyle& style)>;

/// Writes the result to standard output in the format of -f and to each -o file ("-" is standard
/// output too). `verdict` is returned when everything was written, ExitCode::input with a message
/// on stderr when something was not; a reader that closed the pipe is no failure.
[[nodiscard]] ExitCode write_outputs(const OutputOptions& options, const Render& render,
                                     ExitCode verdict);
/// The same with the text for each of the targets.
[[nodiscard]] ExitCode write_outputs(std::span<const OutputTarget> targets,
                                     const std::function<std::string(std::size_t target)>& text_of,
                                     ExitCode verdict);

/// "mla-scale: message" on standard error.
void print_error(std::string_view message);

} // namespace mla_scale::cli
