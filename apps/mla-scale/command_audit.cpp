#include "command_audit.hpp"

#include "inputs.hpp"
#include "one_of.hpp"
#include "output.hpp"
#include "progress.hpp"

#include <mla_scale/audit/baseline.hpp>
#include <mla_scale/audit/snapshot.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/report/audit_github.hpp>
#include <mla_scale/report/audit_html.hpp>
#include <mla_scale/report/audit_json.hpp>
#include <mla_scale/report/audit_junit.hpp>
#include <mla_scale/report/audit_sarif.hpp>
#include <mla_scale/report/audit_text.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <memory>

namespace mla_scale::cli {
namespace {

constexpr std::string_view k_audit_formats[] = {"text", "json", "sarif", "junit", "github", "html"};

struct AuditOptions {
  std::vector<std::string> paths;
  std::vector<std::string> select;
  std::vector<std::string> ignore;
  std::string fail_on = "error";
  std::string snapshot;
  bool bless = false;
  std::string baseline;
  std::string write_baseline;
  std::string today;
  unsigned threads = 0;
  OutputOptions output;
};

/// The date of today in UTC, which only decides whether entries of a baseline have expired.
std::string today() {
  const std::chrono::year_month_day date(
      std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::string render(const AuditOptions& options, const audit::Audit& result, std::string_view format,
                   const TerminalStyle& style) {
  if (format == "json") {
    return report::audit_json(result);
  }
  if (format == "sarif") {
    return report::audit_sarif(result);
  }
  if (format == "junit") {
    return report::audit_junit(result, audit::severity_from(options.fail_on));
  }
  if (format == "html") {
    return report::audit_html(result);
  }
  return format == "github" ? report::audit_github(result) : report::audit_text(result, style);
}

bool report_error(const Error& error) {
  print_error(to_string(error));
  return false;
}

/// Writes or compares the snapshot. False when it cannot be read or written.
bool apply_snapshot(const AuditOptions& options, audit::Audit& result) {
  if (options.bless && result.has_input_failure()) {
    // A mistyped path must not replace a good record; the failure itself is the verdict.
    print_error(
        fmt::format("{}: not written, since an input failed", escape_control(options.snapshot)));
    return true;
  }
  if (options.bless) {
    const Result<void> written =
        write_file(options.snapshot, audit::write_snapshot(audit::take_snapshot(result)));
    return written ? true : report_error(written.error());
  }
  const Result<audit::Snapshot> expected = audit::read_snapshot(options.snapshot);
  if (!expected) {
    report_error(expected.error());
    std::error_code ignored;
    if (!std::filesystem::exists(options.snapshot, ignored)) {
      print_error("write it first, with --bless");
    }
    return false;
  }
  audit::Comparison comparison = audit::compare_with_snapshot(*expected, result);
  result.drift = std::move(comparison.drift);
  result.engine_changes = std::move(comparison.engine_changes);
  return true;
}

bool apply_baselines(const AuditOptions& options, audit::Audit& result) {
  if (!options.write_baseline.empty()) {
    const Result<void> written = write_file(
        options.write_baseline, audit::write_baseline(result, "accepted when first audited"));
    return written ? true : report_error(written.error());
  }
  if (options.baseline.empty()) {
    return true;
  }
  const Result<audit::Baseline> baseline = audit::read_baseline(options.baseline);
  if (!baseline) {
    return report_error(baseline.error());
  }
  audit::apply_baseline(result, *baseline, options.today.empty() ? today() : options.today);
  return true;
}

ExitCode verdict_of(const AuditOptions& options, const audit::Audit& result) {
  if (result.has_input_failure()) {
    return ExitCode::input;
  }
  if (result.summary.models == 0 && options.snapshot.empty()) {
    const std::string what = result.models.empty() ? "no model" : result.models.front().reason;
    print_error(result.models.size() == 1
                    ? fmt::format("{}: {}", escape_control(result.models.front().source),
                                  escape_control(what))
                    : fmt::format("none of {} model files has MLA", result.models.size()));
    return ExitCode::input;
  }
  if (!result.drift.empty()) {
    return ExitCode::findings;
  }
  const std::optional<audit::Severity> threshold = audit::severity_from(options.fail_on);
  return threshold && result.has_at_least(*threshold) ? ExitCode::findings : ExitCode::fine;
}

ExitCode run_audit(const AuditOptions& options) {
  audit::Audit result;
  {
    Progress progress("models");
    audit::Options how;
    how.filter = {options.select, options.ignore};
    how.threads = options.threads;
    how.record = !options.snapshot.empty();
    how.progress = [&](std::size_t done, std::size_t total) { progress.update(done, total); };
    const std::vector<std::filesystem::path> paths(options.paths.begin(), options.paths.end());
    result = audit::audit(paths, how);
  }
  for (const audit::Finding& finding : result.findings) {
    if (finding.id.starts_with("MLA9")) {
      print_error(to_string(Error{ErrorKind::unreadable, finding.message, finding.path,
                                  finding.pointer, finding.position}));
    }
  }
  if (!options.snapshot.empty() && !apply_snapshot(options, result)) {
    return ExitCode::input;
  }
  if (!apply_baselines(options, result)) {
    return ExitCode::input;
  }
  const ExitCode verdict = verdict_of(options, result);
  return write_outputs(
      options.output,
      [&](std::string_view format, const TerminalStyle& style) {
        return render(options, result, format, style);
      },
      verdict);
}

/// The complaint about a rule that does not exist, or an empty string.
std::string check_rule_name(const std::string& name) {
  if (audit::names_a_rule(name)) {
    return {};
  }
  std::vector<std::string_view> names;
  for (const audit::Rule& rule : audit::rules()) {
    names.push_back(rule.id);
    names.push_back(rule.slug);
  }
  const std::string_view near = closest_match(name, names);
  return fmt::format("'{}' is no rule{}", escape_control(name),
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

void add_options(CLI::App& app, AuditOptions& options) {
  app.add_option("PATH", options.paths, k_path_help)->required();
  app.add_option("--select", options.select,
                 "Only rules with this id, beginning of an id (MLA2) or slug; may be repeated")
      ->allow_extra_args(false)
      ->type_name("ID")
      ->check(check_rule_name);
  app.add_option("--ignore", options.ignore, "Not these rules; wins over --select")
      ->allow_extra_args(false)
      ->type_name("ID")
      ->check(check_rule_name);
  app.add_option("--fail-on", options.fail_on,
                 "Exit with 1 for findings at least this bad: error, warning, note, never. "
                 "Published models have warnings, where engines disagree about them")
      ->check(OneOf({"error", "warning", "note", "never"}))
      ->type_name("SEVERITY")
      ->option_text("SEVERITY");
  CLI::Option* snapshot =
      app.add_option("--snapshot", options.snapshot,
                     "Compare every model with this file; exit with 1 when anything has drifted")
          ->type_name("FILE");
  app.add_flag("--bless", options.bless, "Write the snapshot instead of comparing")
      ->needs(snapshot);
  CLI::Option* baseline = app.add_option("--baseline", options.baseline,
                                         "Accept the findings listed in this file, each with a "
                                         "reason and perhaps a date of expiry")
                              ->type_name("FILE");
  app.add_option("--write-baseline", options.write_baseline,
                 "Write a baseline that accepts all present findings")
      ->type_name("FILE")
      ->excludes(baseline);
  app.add_option("--today", options.today,
                 "The date by which entries of the baseline expire, instead of the clock's")
      ->type_name("DATE")
      ->check([](const std::string& text) {
        return audit::is_date(text)
                   ? std::string()
                   : fmt::format("'{}' is no date like 2026-12-31", escape_control(text));
      });
  app.add_option("--threads", options.threads, "Threads; 0 means as many as the machine has")
      ->type_name("N")
      ->option_text("N");
}

} // namespace

Action setup_audit(CLI::App& app) {
  auto options = std::make_shared<AuditOptions>();
  add_options(app, *options);
  add_output_options(app, options->output, k_audit_formats);
  return [options] { return run_audit(*options); };
}

} // namespace mla_scale::cli
