#include "across_files.hpp"

#include <mla_scale/audit/audit.hpp>
#include <mla_scale/audit/check.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <atomic>
#include <set>
#include <tuple>

namespace mla_scale::audit {
namespace {

namespace fs = std::filesystem;

/// The model files of one directory, or one file that was named.
struct Group {
  std::vector<model::ModelFile> files;
  fs::path root; ///< the path below which it was found
  bool is_directory = false;
};

struct GroupResult {
  std::vector<AuditedModel> models;
  std::vector<Finding> findings;
};

/// How a model is named in snapshots and baselines: below the audited directory when there is
/// exactly one, so that it can be moved; as it was given otherwise.
std::string relative_path(const fs::path& root, bool root_is_directory, const std::string& source,
                          bool only_root) {
  if (!only_root || source == "-") {
    return fs::path(source).lexically_normal().generic_string();
  }
  if (!root_is_directory) {
    return fs::path(source).filename().generic_string();
  }
  return fs::path(source).lexically_relative(root).lexically_normal().generic_string();
}

/// "z", "z/" and "./z" are one path.
fs::path normal(const fs::path& path) {
  const fs::path result = path.lexically_normal();
  return result.has_filename() || !result.has_relative_path() ? result : result.parent_path();
}

/// The one directory below which all models lie; nothing when several paths were given.
std::optional<fs::path> only_root(std::span<const fs::path> paths) {
  for (const fs::path& path : paths) {
    if (normal(path) != normal(paths.front())) {
      return std::nullopt;
    }
  }
  if (paths.empty()) {
    return std::nullopt;
  }
  std::error_code ignored;
  return fs::is_directory(paths.front(), ignored) ? paths.front() : paths.front().parent_path();
}

std::vector<Group> find_groups(std::span<const fs::path> paths, unsigned threads,
                               std::vector<Finding>& failures) {
  std::vector<Group> groups;
  std::set<std::string> seen;
  for (const fs::path& path : paths) {
    const Result<std::vector<model::ModelFile>> found = model::find_model_files(path, threads);
    if (!found) {
      failures.push_back(input_finding(found.error()));
      failures.back().relative_path = path.generic_string();
      continue;
    }
    std::error_code ignored;
    const bool directory = fs::is_directory(path, ignored);
    std::string previous;
    for (const model::ModelFile& file : *found) {
      // What lies below one path differs anyway.
      if (paths.size() > 1
          && !seen.insert(fs::path(file.source).lexically_normal().generic_string()).second) {
        continue;
      }
      if (!directory || groups.empty() || previous != file.path) {
        groups.push_back({{}, path, directory});
      }
      previous = file.path;
      groups.back().files.push_back(file);
    }
  }
  return groups;
}

void append(std::vector<Finding>& to, std::vector<Finding> from, const std::string& relative) {
  for (Finding& finding : from) {
    finding.relative_path = relative;
    to.push_back(std::move(finding));
  }
}

/// Findings of one model stay together, in the order in which they stand in the file.
void sort_findings(std::vector<Finding>& findings) {
  const auto before = [](const Finding& left, const Finding& right) {
    return std::tie(left.relative_path, left.path, left.position.line, left.position.column,
                    left.id, left.pointer)
           < std::tie(right.relative_path, right.path, right.position.line, right.position.column,
                      right.id, right.pointer);
  };
  // Those of sorted groups are mostly sorted.
  if (!std::is_sorted(findings.begin(), findings.end(), before)) {
    std::stable_sort(findings.begin(), findings.end(), before);
  }
}

GroupResult audit_group(const Group& group, bool only_root, const Options& options) {
  GroupResult result;
  std::vector<model::LoadedModel> loaded;
  for (std::size_t i = 0; i < group.files.size(); ++i) {
    loaded.push_back(model::load_model(group.files[i]));
    const model::LoadedModel& model = loaded.back();
    AuditedModel entry;
    entry.path = model.path;
    entry.source = model.source;
    entry.relative_path = relative_path(group.root, group.is_directory, model.source, only_root);
    if (const model::MlaConfig* config = model.config()) {
      entry.outcome = AuditedModel::Outcome::mla;
      append(result.findings, check_config(*config, options.filter), entry.relative_path);
    } else if (const model::NotMla* other = model.not_mla()) {
      entry.outcome = AuditedModel::Outcome::not_mla;
      entry.reason = other->reason;
    } else {
      Finding failure = input_finding(*model.error());
      entry.reason = model.error()->message;
      if (options.filter.allows(*find_rule(failure.id))) {
        failure.relative_path = entry.relative_path;
        result.findings.push_back(std::move(failure));
      }
    }
    if (options.record) {
      entry.record = make_record(model);
    }
    result.models.push_back(std::move(entry));
  }
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    if (group.files[i].beside) {
      append(result.findings, check_across_files(loaded, i, *group.files[i].beside, options.filter),
             result.models[i].relative_path);
    }
  }
  sort_findings(result.findings);
  return result;
}

} // namespace

bool Audit::has_input_failure() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.id.starts_with("MLA9"); });
}

bool Audit::has_at_least(Severity severity) const {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const Finding& finding) { return finding.severity >= severity; });
}

void count_findings(Audit& audit) {
  Summary& summary = audit.summary;
  summary.errors = summary.warnings = summary.notes = 0;
  for (const Finding& finding : audit.findings) {
    (finding.severity == Severity::error     ? summary.errors
     : finding.severity == Severity::warning ? summary.warnings
                                             : summary.notes) += 1;
  }
}

Audit audit(std::span<const fs::path> paths, const Options& options) {
  Audit audit;
  const std::optional<fs::path> root = only_root(paths);
  audit.root = root.value_or(fs::path());
  const std::vector<Group> groups = find_groups(paths, options.threads, audit.findings);
  std::vector<GroupResult> results(groups.size());
  std::atomic<std::size_t> done = 0;
  parallel_for(groups.size(), options.threads, [&](std::size_t i) {
    results[i] = audit_group(groups[i], root.has_value(), options);
    if (options.progress) {
      options.progress(++done, groups.size());
    }
  });
  for (GroupResult& result : results) {
    std::move(result.models.begin(), result.models.end(), std::back_inserter(audit.models));
    std::move(result.findings.begin(), result.findings.end(), std::back_inserter(audit.findings));
  }
  sort_findings(audit.findings);
  audit.summary.files = audit.models.size();
  for (const AuditedModel& model : audit.models) {
    audit.summary.models += model.outcome == AuditedModel::Outcome::mla ? 1U : 0U;
    audit.summary.not_mla += model.outcome == AuditedModel::Outcome::not_mla ? 1U : 0U;
    audit.summary.failed += model.outcome == AuditedModel::Outcome::failed ? 1U : 0U;
  }
  count_findings(audit);
  return audit;
}

} // namespace mla_scale::audit
