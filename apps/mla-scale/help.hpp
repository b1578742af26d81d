#pragma once

#include "command.hpp"

#include <memory>
#include <span>
#include <string>

namespace CLI {
class FormatterBase;
}

namespace mla_scale::cli {

/// How --help looks: CLI11's, in lines of 80 columns, with the default of each option.
[[nodiscard]] std::shared_ptr<CLI::FormatterBase> help_formatter();

/// "Examples:" and, for each, the line to type and what comes of it.
[[nodiscard]] std::string help_examples(std::span<const Example> examples);

/// The exit codes in a sentence.
[[nodiscard]] std::string help_exit_codes();

} // namespace mla_scale::cli
