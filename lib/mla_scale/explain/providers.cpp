#include "providers.hpp"

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/engines/describe.hpp>
#include <mla_scale/model/family.hpp>
#include <mla_scale/scale/law.hpp>

#include <fmt/format.h>

namespace mla_scale::explain {

std::vector<Entry> law_entries() {
  std::vector<Entry> entries;
  for (const scale::Law& law : scale::laws()) {
    Entry entry{std::string(law.id), "law", std::string(law.title), {}};
    add_section(entry, "formula", law.formula);
    add_section(entry, "why", law.why);
    add_section(entry, "example", law.example);
    add_section(entry, "sources", law.sources);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Entry> rule_entries() {
  std::vector<Entry> entries;
  for (const audit::Rule& rule : audit::rules()) {
    Entry entry{std::string(rule.id), "rule", std::string(rule.title), {}};
    add_section(entry, "slug", rule.slug);
    add_section(entry, "severity", audit::to_string(rule.severity));
    add_section(entry, "why", rule.why);
    add_section(entry, "example", rule.example);
    add_section(entry, "what to do", rule.action);
    add_section(entry, "silent with", rule.silent_with);
    add_section(entry, "sources", rule.sources);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Entry> family_entries() {
  std::vector<Entry> entries;
  for (const model::Family& family : model::families()) {
    Entry entry{std::string(family.id), "family", std::string(family.title), {}};
    add_section(entry, "formula", family.formula);
    add_section(entry, "attention", model::to_string(family.attention));
    add_section(entry, "pairs",
                !family.interleaved ? "rope_interleave decides; neighbours (2i, 2i + 1) without it"
                : *family.interleaved ? "neighbours (2i, 2i + 1)"
                                      : "halves (i, i + d/2)");
    add_section(entry, "beside", family.beside);
    add_section(entry, "model_type", family.model_types);
    add_section(entry, "architectures", family.architectures);
    add_section(entry, "GGUF", family.gguf_architectures);
    add_section(entry, "why",
                "The family decides by which law a config is read: whether mscale_all_dim reaches "
                "the softmax scale, which widths stand in for missing keys, which pairs rotate.");
    add_section(entry, "example",
                fmt::format("\"model_type\": \"{}\"",
                            family.model_types.substr(0, family.model_types.find(' '))));
    add_section(entry, "sources", family.source);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Entry> engine_entries() {
  std::vector<Entry> entries;
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    Entry entry{
        std::string(rule.id), "engine", fmt::format("{} ({})", rule.name, rule.versions), {}};
    for (const engines::Description& line : engines::describe(rule)) {
      add_section(entry, line.label, line.text);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Entry> hypothesis_entries() {
  std::vector<Entry> entries;
  for (const diagnose::Hypothesis& hypothesis : diagnose::hypotheses()) {
    Entry entry{std::string(hypothesis.id), "hypothesis", std::string(hypothesis.title), {}};
    add_section(entry, "formula", hypothesis.changes);
    add_section(entry, "how it shows", hypothesis.shows);
    add_section(entry, "how it is found", hypothesis.estimated);
    add_section(entry, "confusable with", hypothesis.confusable);
    add_section(entry, "where to look", hypothesis.look_at);
    add_section(entry, "sources", hypothesis.sources);
    entries.push_back(std::move(entry));
  }
  return entries;
}

} // namespace mla_scale::explain
