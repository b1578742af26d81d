#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace mla_scale::audit {
namespace {

/// Engines that come to the same scale.
struct Camp {
  double scale = 0;
  std::string engines;
};

std::vector<Camp> camps_of(const std::vector<engines::EngineValue>& values,
                           std::optional<double> engines::EngineValue::*phase) {
  std::vector<Camp> camps;
  for (const engines::EngineValue& value : values) {
    if (!(value.*phase)) {
      continue;
    }
    const double scale = *(value.*phase);
    const auto found = std::find_if(camps.begin(), camps.end(), [&](const Camp& camp) {
      return std::abs(camp.scale - scale) <= 1e-9 * std::abs(scale);
    });
    if (found == camps.end()) {
      camps.push_back({scale, std::string(value.rule->name)});
    } else {
      found->engines += ", " + std::string(value.rule->name);
    }
  }
  return camps;
}

void engines_disagree(const Subject& subject, Hits& hits) {
  if (!subject.scale) {
    return;
  }
  const std::vector<engines::EngineValue>& values = subject.major_engines();
  for (const auto& [phase, name] : {std::pair{&engines::EngineValue::prefill, "prefill"},
                                    std::pair{&engines::EngineValue::decode, "decode"}}) {
    const std::vector<Camp> camps = camps_of(values, phase);
    if (camps.size() < 2) {
      continue;
    }
    std::string text;
    for (const Camp& camp : camps) {
      text += fmt::format("{}{} in {}", text.empty() ? "" : "; ", format_number(camp.scale),
                          camp.engines);
    }
    hits.at_rope(fmt::format("engines disagree on the softmax scale of {}: {}", name, text));
    return;
  }
}

void engine_fails(const Subject& subject, Hits& hits) {
  for (const engines::EngineValue& value : subject.major_engines()) {
    if (value.error.empty()) {
      continue;
    }
    std::string message = fmt::format("{} ({}) fails on this config: {}", value.rule->name,
                                      value.rule->versions, escape_control(value.error));
    if (value.unknown_model) {
      hits.at_model_type(std::move(message));
    } else {
      hits.at_rope(std::move(message));
    }
  }
}

constexpr std::array k_engines_rules = {
    Rule{"MLA330", "engines-disagree", Severity::warning,
         "two major engines compute different softmax scales",
         "vLLM, transformers, SGLang, TensorRT-LLM and llama.cpp are compared in their newest "
         "state known. Outputs of two engines that disagree cannot be compared, and one of them "
         "runs the model with another temperature than it was trained with.",
         "pangu_ultra_moe with YaRN: vLLM never applies mscale, others do",
         "run mla-scale engines for all values and reasons",
         "the rows of the engines table, `mla-scale explain vllm` and so on", engines_disagree,
         "MLA206 MLA220 MLA235 MLA240 MLA241 MLA242 MLA260 MLA261 MLA262 MLA263 MLA264 "
         "MLA301 MLA303 MLA305 MLA306 MLA307 MLA308 MLA309 MLA310 MLA311 MLA320 MLA327"},
    Rule{"MLA331", "engine-fails", Severity::warning, "a major engine fails on the config",
         "A KeyError at load time names the engine and its version here before anybody meets it.",
         "\"rope_type\": \"linear\" without a factor",
         "add what the engine asks for, or use another version",
         "the rows of the engines table, `mla-scale explain transformers` and so on", engine_fails,
         "MLA201 MLA207 MLA211 MLA220 MLA221 MLA224 MLA240 MLA242 MLA243 MLA310"},
};

} // namespace

std::span<const Rule> engine_rules() {
  return k_engines_rules;
}

} // namespace mla_scale::audit
