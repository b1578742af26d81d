#include "man_page.hpp"

#include <mla_scale/core/version.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::cli {
namespace {

struct EnvironmentVariable {
  std::string_view name;
  std::string_view meaning;
};

constexpr EnvironmentVariable k_environment[] = {
    {"COLUMNS", "Width of text reports; the terminal's, or 80, without it."},
    {"NO_COLOR", "When set and not empty, no colour unless --color always asks for it."},
    {"MLA_SCALE_KERNEL", "The kernel of the reference to compute with, by a name as --version "
                         "prints it, instead of the fastest that the processor has."},
};

constexpr std::string_view k_path =
    "PATH is a model directory, a directory of model directories, one config (Hugging Face "
    "config.json, Mistral params.json, an inference config of DeepSeek), a .gguf file, or - for "
    "JSON on standard input. Weights are never read. Results go to standard output, messages and "
    "progress to standard error.";

/// Plain text as roff reads it: no escapes, no requests, and hyphens that can be copied.
std::string roff(std::string_view text) {
  std::string result;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) {
      result += "\\&";
    }
    result += c == '\\' ? "\\e" : c == '-' ? "\\-" : c == '\'' ? "\\(aq" : std::string(1, c);
    line_begins = c == '\n';
  }
  return result;
}

std::string sentence(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') {
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  }
  return text.empty() || text.back() == '.' ? text : text + ".";
}

std::string paragraph(std::string_view text) {
  return ".PP\n" + roff(text) + (text.ends_with('\n') ? "" : "\n");
}

/// A term in bold or with its value in italics, and what it means.
std::string term(const std::string& head, std::string_view text) {
  return ".TP\n" + head + "\n" + roff(text) + "\n";
}

std::string option_head(const ArgumentDescription& option) {
  const std::string both =
      option.short_name.empty() ? "" : fmt::format("\\fB{}\\fR, ", roff(option.short_name));
  const std::string value =
      option.value_name.empty() ? "" : fmt::format(" \\fI{}\\fR", roff(option.value_name));
  return fmt::format("{}\\fB{}\\fR{}", both, roff(option.long_name), value);
}

std::string argument_text(const ArgumentDescription& argument) {
  std::string text = sentence(argument.description);
  text += argument.fallback.empty() ? "" : fmt::format(" Default: {}.", argument.fallback);
  return text;
}

std::string synopsis(const CommandDescription& command) {
  std::string text = fmt::format("\\fBmla\\-scale {}\\fR", command.name);
  for (const ArgumentDescription& positional : command.positionals) {
    const std::string name =
        fmt::format("\\fI{}\\fR{}", positional.value_name, positional.repeated ? "..." : "");
    text += positional.required ? " " + name : " [" + name + "]";
  }
  return text + " [\\fIOPTIONS\\fR]";
}

/// `first` separates the first from what stands before it.
std::string examples(std::span<const Example> rows, std::string_view first) {
  std::string text;
  for (const Example& example : rows) {
    text += text.empty() ? first : ".PP\n";
    text += fmt::format("{}\n.RS 4\n.EX\n{}\n.EE\n.RE\n", roff(sentence(std::string(example.what))),
                        roff(example.line));
  }
  return text;
}

std::string command_section(const CommandDescription& command) {
  std::string text = fmt::format(".SS {}\n", synopsis(command));
  text += roff(sentence(command.summary)) + "\n";
  for (const ArgumentDescription& positional : command.positionals) {
    text += term(fmt::format("\\fI{}\\fR", positional.value_name), argument_text(positional));
  }
  for (const ArgumentDescription& option : command.options) {
    text += term(option_head(option), argument_text(option));
  }
  text += command.notes.empty() ? "" : paragraph(command.notes);
  return text + examples(command.examples, ".PP\n");
}

} // namespace

std::string man_page(const CommandLineDescription& description) {
  std::string text = fmt::format(".TH MLA\\-SCALE 1 \"\" \"mla\\-scale {}\" \"User Commands\"\n"
                                 ".SH NAME\nmla\\-scale \\- be right about attention scale in "
                                 "Multi\\-head Latent Attention\n.SH SYNOPSIS\n",
                                 roff(k_version));
  for (const CommandDescription& command : description.commands) {
    text += synopsis(command) + "\n.br\n";
  }
  text += "\\fBmla\\-scale\\fR \\fB\\-\\-version\\fR | \\fB\\-\\-help\\fR\n.SH DESCRIPTION\n";
  text += roff(description.summary);
  text += paragraph(k_path) + ".SH COMMANDS\n";
  for (const CommandDescription& command : description.commands) {
    text += command_section(command);
  }
  text += ".SH EXIT STATUS\nThe same for every command and every format.\n";
  for (const ExitCodeMeaning& row : k_exit_codes) {
    text += term(fmt::format("\\fB{}\\fR", static_cast<int>(row.code)), row.meaning);
  }
  text += ".SH ENVIRONMENT\n";
  for (const EnvironmentVariable& variable : k_environment) {
    text += term(fmt::format("\\fB{}\\fR", variable.name), variable.meaning);
  }
  return text + ".SH EXAMPLES\n" + examples(description.examples, "");
}

} // namespace mla_scale::cli
