#pragma once

#include "command.hpp"

#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace mla_scale::cli {

/// What follows an option or stands in place of a positional, as far as a shell can help with it.
enum class ValueKind {
  none,   ///< a flag
  choice, ///< one of ArgumentDescription::choices
  file,   ///< a file or directory
  target, ///< FORMAT:FILE, with the formats in ArgumentDescription::choices
  text,   ///< a number or anything else
};

/// An option or a positional.
struct ArgumentDescription {
  std::string short_name; ///< "-f", or empty
  std::string long_name;  ///< "--format"; empty for a positional
  std::string value_name; ///< "FORMAT"; empty for a flag
  std::string description;
  std::string fallback; ///< the default; empty when there is none
  ValueKind kind = ValueKind::none;
  std::vector<std::string> choices;
  bool required = false;
  bool repeated = false;
};

/// One command as help, completions and the manual page need to know it.
struct CommandDescription {
  std::string name;
  std::string summary;
  std::vector<ArgumentDescription> positionals;
  std::vector<ArgumentDescription> options;
  std::span<const Example> examples;
  std::string notes;
};

/// The program: its own options, and its commands.
struct CommandLineDescription {
  std::string summary;
  std::vector<ArgumentDescription> options;
  std::vector<CommandDescription> commands;
  std::span<const Example> examples; ///< the first ones to try
};

/// Reads the definitions that the parser works with, so that nothing else can be said about them.
[[nodiscard]] CommandLineDescription describe(const CLI::App& root);

/// "FORMAT", or empty for a flag.
[[nodiscard]] std::string value_name_of(const CLI::Option& option);

/// The default value as text; empty when there is none.
[[nodiscard]] std::string default_of(const CLI::Option& option);

} // namespace mla_scale::cli
