#include "help.hpp"

#include "command_line.hpp"

#include <mla_scale/report/style.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sstream>
#include <vector>

namespace mla_scale::cli {
namespace {

constexpr int k_help_width = 80;
constexpr std::size_t k_help_column = 28;

/// CLI11's help, with descriptions broken to fit.
class HelpFormatter : public CLI::Formatter {
public:
  HelpFormatter() {
    column_width(k_help_column);
    label("SUBCOMMAND", "COMMAND");
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string fallback = default_of(*option);
    return broken(CLI::Formatter::make_option_desc(option)
                  + (fallback.empty() ? "" : fmt::format(" (default {})", fallback)));
  }

  std::string make_subcommand(const CLI::App* sub) const override {
    std::stringstream out;
    CLI::detail::format_help(out, sub->get_name(), broken(sub->get_description()),
                             get_column_width());
    return out.str();
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_positional()) {
      return option->get_expected_max() > 1 ? " ..." : "";
    }
    const std::string value = value_name_of(*option);
    return value.empty() ? "" : " " + value;
  }

private:
  /// format_help indents what follows a newline, so the newlines are all it takes.
  static std::string broken(const std::string& text) {
    std::string lines =
        report::hanging("", 0, text, k_help_width - static_cast<int>(k_help_column));
    lines.pop_back();
    return lines;
  }
};

} // namespace

std::shared_ptr<CLI::FormatterBase> help_formatter() {
  return std::make_shared<HelpFormatter>();
}

std::string help_examples(std::span<const Example> examples) {
  std::string text = "Examples:\n";
  for (const Example& example : examples) {
    text += fmt::format("  {}\n      {}\n", example.line, example.what);
  }
  return text;
}

std::string help_exit_codes() {
  std::vector<std::string> codes;
  for (const ExitCodeMeaning& row : k_exit_codes) {
    codes.push_back(fmt::format("{} {}", static_cast<int>(row.code), row.brief));
  }
  return report::hanging("", 0, fmt::format("Exit codes: {}.", fmt::join(codes, ", ")),
                         k_help_width);
}

} // namespace mla_scale::cli
