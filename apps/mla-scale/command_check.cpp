#include "command_check.hpp"

#include "check_command.hpp"
#include "inputs.hpp"
#include "one_of.hpp"
#include "output.hpp"
#include "progress.hpp"

#include <mla_scale/check/check.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/report/check_report.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cmath>
#include <memory>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_check_formats[] = {"text", "json", "junit", "html"};
constexpr int k_most_threads = 1024;

struct CheckOptions {
  std::string path;
  std::vector<std::string> captures;
  std::string phase = "prefill";
  std::optional<double> scale;
  std::optional<std::string> heads;
  std::optional<std::string> rows;
  std::string precision = "f64";
  int threads = 0;
  std::string layout;
  bool no_diagnose = false;
  bool timings = false;
  OutputOptions output;
};

std::string repro_of(const CheckOptions& options) {
  std::string command = check_command(options.path, options.captures);
  const auto add = [&](std::string_view name, const std::string& value, std::string_view usual) {
    if (value != usual) {
      command += fmt::format(" {} {}", name, shell_quoted(value));
    }
  };
  add("--phase", options.phase, "prefill");
  if (options.scale) {
    add("--scale", format_number(*options.scale), "");
  }
  add("--heads", options.heads.value_or(""), "");
  add("--rows", options.rows.value_or(""), "");
  add("--precision", options.precision, "f64");
  add("--layout", options.layout, "");
  return command + (options.no_diagnose ? " --no-diagnose" : "");
}

Result<check::Options> check_options(const CheckOptions& options) {
  check::Options result;
  result.phase = options.phase == "decode" ? check::Phase::decode : check::Phase::prefill;
  result.softmax_scale = options.scale;
  result.row_choice = options.rows == "auto"  ? check::RowChoice::automatic
                      : options.rows == "all" ? check::RowChoice::all
                                              : check::RowChoice::by_cost;
  result.precision =
      options.precision == "f32" ? reference::Precision::f32 : reference::Precision::f64;
  result.threads = options.threads;
  result.layout = options.layout;
  result.diagnose = !options.no_diagnose;
  for (const auto& [text, selection] :
       {std::pair(&options.heads, &result.heads), std::pair(&options.rows, &result.rows)}) {
    if (!text->has_value() || (text == &options.rows && (**text == "auto" || **text == "all"))) {
      continue;
    }
    auto parsed = check::parse_selection(**text);
    if (!parsed) {
      return parsed.error();
    }
    *selection = std::move(*parsed);
  }
  return result;
}

ExitCode fail(const Error& error) {
  print_error(to_string(error));
  return error.kind == ErrorKind::usage ? ExitCode::usage : ExitCode::input;
}

ExitCode run_check(const CheckOptions& options) {
  auto wanted = check_options(options);
  if (!wanted) {
    return fail(wanted.error());
  }
  std::optional<report::Inspection> model = read_model(options.path);
  if (!model) {
    return ExitCode::input;
  }
  Progress progress("logits");
  wanted->progress = [&](std::size_t done, std::size_t total) { progress.update(done, total); };
  auto checked = check::check_capture(*model->model.config(), *model->scale,
                                      {options.captures.begin(), options.captures.end()}, *wanted);
  progress.finish();
  if (!checked) {
    return fail(checked.error());
  }
  const report::CheckReport result{std::move(*model), std::move(*checked), repro_of(options),
                                   options.timings};
  const auto render = [&](std::string_view format, const TerminalStyle& style) {
    return format == "json"    ? report::check_json(result)
           : format == "junit" ? report::check_junit(result)
           : format == "html"  ? report::check_html(result)
                               : report::check_text(result, style);
  };
  return write_outputs(options.output, render, exit_code_of(result.check.judgement.verdict));
}

/// "thd" for "[T,H,D]", as reports write it.
std::string plain_layout(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    if (std::string_view("[](), ").find(c) == std::string_view::npos) {
      plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return plain;
}

/// Complains unless the text is a finite number above 0.
std::string positive_number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool whole = !text.empty() && *end == '\0';
  return whole && std::isfinite(value) && value > 0.0
             ? std::string()
             : fmt::format("'{}' is not a number above 0", escape_control(text));
}

} // namespace

Action setup_check(CLI::App& app) {
  auto options = std::make_shared<CheckOptions>();
  app.add_option("PATH", options->path, k_path_help)->required();
  app.add_option("CAPTURE", options->captures,
                 "What the GPU saved: .safetensors, .npz, .npy, .pt, or directories of them")
      ->required();
  app.add_option("--phase", options->phase, "prefill or decode")
      ->check(OneOf({"prefill", "decode"}))
      ->type_name("PHASE")
      ->option_text("PHASE");
  app.add_option("--scale", options->scale, "Softmax scale of the reference, not the model's")
      ->check(positive_number)
      ->type_name("X")
      ->option_text("X");
  app.add_option("--heads", options->heads, "Only these heads of the capture, such as 0,3,8-15")
      ->type_name("LIST");
  app.add_option("--rows", options->rows,
                 "Only these query rows, such as 0-63,1000; auto for a sample that "
                 "says what it catches; all. Unless given, auto where all would take long")
      ->type_name("SPEC");
  app.add_option("--precision", options->precision, "Products of the reference in f64 or f32")
      ->check(OneOf({"f64", "f32"}))
      ->type_name("PRECISION")
      ->option_text("PRECISION");
  app.add_option("--threads", options->threads, "Threads; 0 for one a processor")
      ->check(CLI::Range(0, k_most_threads))
      ->type_name("N")
      ->option_text("N");
  app.add_option("--layout", options->layout,
                 "Layout of q, k, v and out where shapes leave it open")
      ->transform(plain_layout)
      ->check(OneOf({"thd", "bthd", "bhtd"}))
      ->type_name("LAYOUT")
      ->option_text("thd|bthd|bhtd");
  app.add_flag("--no-diagnose", options->no_diagnose,
               "Only judge; look for no cause, nor for a bug as small as rounding");
  app.add_flag("--timings", options->timings, "Report seconds and GFLOP/s, which vary by run");
  add_output_options(app, options->output, k_check_formats);
  return [options] { return run_check(*options); };
}

} // namespace mla_scale::cli
