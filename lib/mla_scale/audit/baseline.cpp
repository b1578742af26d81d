#include <mla_scale/audit/baseline.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/json/writer.hpp>

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <set>
#include <tuple>

namespace mla_scale::audit {
namespace {

constexpr std::size_t k_largest_baseline = std::size_t{64} << 20;

/// A member that has to be a string; `required` ones may not be empty.
Result<std::string> text_of(const json::Value& entry, std::string_view key, bool required) {
  const std::optional<json::Value> value = entry.find(key);
  if (!value || value->is_null()) {
    return required ? Result<std::string>(
               entry.error(fmt::format("an accepted finding needs a {}", key)))
                    : Result<std::string>(std::string());
  }
  const Result<std::string_view> text = value->as_string();
  if (!text) {
    return text.error();
  }
  if (required && text->empty()) {
    return value->error(fmt::format("{} is empty", key));
  }
  return std::string(*text);
}

Result<AcceptedFinding> read_entry(const json::Value& entry) {
  AcceptedFinding accepted;
  struct Member {
    std::string_view key;
    std::string AcceptedFinding::*place;
    bool required;
  };
  for (const Member& member :
       {Member{"rule", &AcceptedFinding::rule, true}, Member{"path", &AcceptedFinding::path, true},
        Member{"pointer", &AcceptedFinding::pointer, false},
        Member{"reason", &AcceptedFinding::reason, true},
        Member{"expires", &AcceptedFinding::expires, false}}) {
    Result<std::string> text = text_of(entry, member.key, member.required);
    if (!text) {
      return text.error();
    }
    accepted.*member.place = *std::move(text);
  }
  if (find_rule(accepted.rule) == nullptr) {
    return entry.find("rule")->error(
        fmt::format("\"{}\" is no rule", escape_control(accepted.rule)));
  }
  accepted.rule = std::string(find_rule(accepted.rule)->id);
  if (!accepted.expires.empty() && !is_date(accepted.expires)) {
    return entry.find("expires")->error(
        fmt::format("\"{}\" is no date like 2026-12-31", escape_control(accepted.expires)));
  }
  return accepted;
}

/// What an entry and a finding have in common.
using Key = std::tuple<std::string, std::string, std::string>;

} // namespace

bool is_date(std::string_view text) {
  const auto digits = [&](std::size_t from, std::size_t count) {
    int number = 0;
    for (std::size_t i = from; i < from + count; ++i) {
      number = text[i] >= '0' && text[i] <= '9' ? number * 10 + (text[i] - '0') : -100000;
    }
    return number;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || digits(0, 4) < 0 || digits(5, 2) < 1
      || digits(8, 2) < 1) {
    return false;
  }
  return std::chrono::year_month_day(std::chrono::year(digits(0, 4)),
                                     std::chrono::month(static_cast<unsigned>(digits(5, 2))),
                                     std::chrono::day(static_cast<unsigned>(digits(8, 2))))
      .ok();
}

Result<Baseline> read_baseline(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path, k_largest_baseline);
  if (!text) {
    return text.error();
  }
  const Result<json::Document> document = json::Document::parse(*std::move(text), path.string());
  if (!document) {
    return document.error();
  }
  const json::Value root = document->root();
  const std::optional<json::Value> version = root.find("schema_version");
  if (!version || version->as_integer().value_or(0) != 1) {
    return (version ? *version : root).error("a baseline has schema_version 1");
  }
  const std::optional<json::Value> accepted = root.find("accepted");
  if (!accepted || !accepted->is_array()) {
    return root.error("a baseline has an array named accepted");
  }
  Baseline baseline;
  for (std::optional<json::Value> entry = accepted->first(); entry; entry = entry->next()) {
    Result<AcceptedFinding> read = read_entry(*entry);
    if (!read) {
      return read.error();
    }
    baseline.accepted.push_back(*std::move(read));
  }
  return baseline;
}

std::string write_baseline(const Audit& audit, std::string_view reason) {
  json::Writer writer;
  writer.begin_object();
  writer.member("schema_version", 1);
  writer.key("accepted").begin_array();
  for (const Finding& finding : audit.findings) {
    writer.begin_object();
    writer.member("rule", finding.id);
    writer.member("path", finding.relative_path);
    writer.member("pointer", finding.pointer);
    writer.member("reason", reason);
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
  return writer.finish();
}

void apply_baseline(Audit& audit, const Baseline& baseline, std::string_view today) {
  std::map<Key, std::size_t> matched; // how many findings each entry accepts or would accept
  std::set<Key> valid;
  const auto has_expired = [&](const AcceptedFinding& entry) {
    return !entry.expires.empty() && entry.expires < today;
  };
  for (const AcceptedFinding& entry : baseline.accepted) {
    const Key key{entry.rule, entry.path, entry.pointer};
    matched.emplace(key, 0);
    if (!has_expired(entry)) {
      valid.insert(key);
    }
  }
  std::erase_if(audit.findings, [&](const Finding& finding) {
    const Key key{finding.id, finding.relative_path, finding.pointer};
    const auto found = matched.find(key);
    if (found == matched.end()) {
      return false;
    }
    ++found->second;
    const bool accepted = valid.contains(key);
    audit.summary.accepted += accepted ? 1U : 0U;
    return accepted;
  });
  for (const AcceptedFinding& entry : baseline.accepted) {
    const Key key{entry.rule, entry.path, entry.pointer};
    if (matched[key] == 0 || has_expired(entry)) {
      audit.stale.push_back(
          {entry.rule, entry.path, entry.pointer, entry.reason, entry.expires, matched[key] != 0});
    }
  }
  count_findings(audit);
}

} // namespace mla_scale::audit
