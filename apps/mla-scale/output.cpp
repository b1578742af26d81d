#include "output.hpp"

#include "one_of.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/core/text.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

namespace mla_scale::cli {
namespace {

/// Splits FORMAT:FILE; the file may hold further colons.
std::pair<std::string, std::string> split_target(const std::string& target) {
  const std::size_t colon = target.find(':');
  return colon == std::string::npos ? std::pair<std::string, std::string>{target, ""}
                                    : std::pair{target.substr(0, colon), target.substr(colon + 1)};
}

/// Refuses to write one file twice, where the first report would be lost without a word.
void check_distinct(const std::vector<std::string>& targets) {
  std::set<std::filesystem::path> files;
  for (const std::string& target : targets) {
    const std::string file = split_target(target).second;
    const bool is_stream = file == "-" || file.starts_with("/dev/");
    if (!is_stream && !files.insert(std::filesystem::path(file).lexically_normal()).second) {
      throw CLI::ValidationError("--output",
                                 fmt::format("'{}' is named twice", escape_control(file)));
    }
  }
}

bool write_stdout(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  return std::fflush(stdout) == 0 && written;
}

} // namespace

void add_output_options(CLI::App& app, OutputOptions& options,
                        std::span<const std::string_view> formats) {
  const std::vector<std::string> names(formats.begin(), formats.end());
  const std::string listed = fmt::format("{}", fmt::join(names, ", "));
  app.add_option("-f,--format", options.format, "Format on standard output: " + listed)
      ->check(OneOf(names))
      ->type_name("FORMAT")
      ->option_text("FORMAT");
  app.add_option("-o,--output", options.files, "Also write FORMAT to FILE; may be repeated")
      ->allow_extra_args(false)
      ->type_name("FORMAT:FILE")
      ->check([names, listed](const std::string& target) {
        const auto [format, file] = split_target(target);
        const bool known = std::find(names.begin(), names.end(), format) != names.end();
        if (!known || file.empty()) {
          return fmt::format("'{}' is not FORMAT:FILE with FORMAT one of {}",
                             escape_control(target), listed);
        }
        return std::string();
      });
  app.parse_complete_callback([&options] { check_distinct(options.files); });
  app.add_option("--color", options.color, "Colour on standard output: auto, always, never")
      ->check(OneOf({"auto", "always", "never"}))
      ->type_name("WHEN")
      ->option_text("WHEN");
}

std::vector<OutputTarget> output_targets(const OutputOptions& options) {
  // Standard output first: a file that cannot be written must not cost the result.
  std::vector<OutputTarget> targets = {{options.format, stdout_style(options.color), "-"}};
  for (const std::string& target : options.files) {
    auto [format, file] = split_target(target);
    targets.push_back({std::move(format), TerminalStyle{}, std::move(file)});
  }
  return targets;
}

ExitCode write_outputs(const OutputOptions& options, const Render& render, ExitCode verdict) {
  const std::vector<OutputTarget> targets = output_targets(options);
  const auto text_of = [&](std::size_t i) { return render(targets[i].format, targets[i].style); };
  return write_outputs(targets, text_of, verdict);
}

ExitCode write_outputs(std::span<const OutputTarget> targets,
                       const std::function<std::string(std::size_t)>& text_of, ExitCode verdict) {
  ExitCode result = verdict;
  const bool shown = write_stdout(text_of(0));
  if (!shown && errno == EPIPE) {
    std::clearerr(stdout); // the reader has seen enough
  } else if (!shown) {
    print_error(fmt::format("standard output cannot be written: {}", std::strerror(errno)));
    result = ExitCode::input;
  }
  for (std::size_t i = 1; i < targets.size(); ++i) {
    const std::string& file = targets[i].file;
    if (file == "-") {
      result = write_stdout(text_of(i)) ? result : ExitCode::input;
    } else if (const auto written = write_file(file, text_of(i)); !written) {
      print_error(to_string(written.error()));
      result = ExitCode::input;
    }
  }
  return result;
}

void print_error(std::string_view message) {
  const std::string line = fmt::format("mla-scale: {}\n", message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

} // namespace mla_scale::cli
