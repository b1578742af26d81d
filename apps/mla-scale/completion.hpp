#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::cli {

/// One option as a shell needs to know it.
struct CompletionOption {
  std::string short_name; ///< "-f", or empty
  std::string long_name;  ///< "--format"
  std::string description;
  bool takes_value = false;
  std::vector<std::string> choices; ///< empty: a file name or free text
};

/// One command with its options.
struct CompletionCommand {
  std::string name;
  std::string description;
  std::vector<CompletionOption> options;
};

/// A completion script for "bash", "zsh" or "fish".
[[nodiscard]] std::string completion_script(std::string_view shell,
                                            const std::vector<CompletionCommand>& commands);

} // namespace mla_scale::cli
