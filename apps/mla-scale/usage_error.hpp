#pragma once

#include "exit_code.hpp"

namespace CLI {
class App;
class ParseError;
} // namespace CLI

namespace mla_scale::cli {

/// Says on standard error what was wrong with the command line, what was probably meant, and where
/// help is. Returns ExitCode::usage.
[[nodiscard]] ExitCode report_usage(CLI::App& app, const CLI::ParseError& error);

} // namespace mla_scale::cli
