#include "tables.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

namespace mla_scale::audit {
namespace {

using model::Rope;

/// Keys of a rope dictionary that some reader understands.
constexpr std::string_view k_rope_keys[] = {"type",
                                            "rope_type",
                                            "factor",
                                            "original_max_position_embeddings",
                                            "max_position_embeddings",
                                            "beta_fast",
                                            "beta_slow",
                                            "mscale",
                                            "mscale_all_dim",
                                            "attention_factor",
                                            "attn_factor",
                                            "extrapolation_factor",
                                            "truncate",
                                            "rope_theta",
                                            "partial_rotary_factor",
                                            "low_freq_factor",
                                            "high_freq_factor",
                                            "short_factor",
                                            "long_factor",
                                            "short_mscale",
                                            "long_mscale",
                                            "apply_yarn_scaling",
                                            "apply_scale",
                                            "beta",
                                            "alpha",
                                            "llama_4_scaling_beta",
                                            "mrope_section",
                                            "mrope_interleaved",
                                            "finetuned"};

/// The keys of yarn in Mistral's params.json. vLLM asserts that there are no others.
constexpr std::string_view k_yarn_keys[] = {"factor", "original_max_position_embeddings", "beta",
                                            "alpha", "apply_scale"};

bool is_params_json(const Subject& subject) {
  return subject.config.format == model::Format::mistral;
}

std::span<const std::string_view> known_keys(const Subject& subject) {
  return is_params_json(subject) ? std::span<const std::string_view>(k_yarn_keys)
                                 : std::span<const std::string_view>(k_rope_keys);
}

bool is_known(const Subject& subject, std::string_view name) {
  const std::span<const std::string_view> known = known_keys(subject);
  return std::find(known.begin(), known.end(), name) != known.end();
}

bool in_use(const Subject& subject) {
  return subject.is_huggingface() && subject.config.rope.has_dictionary();
}

void types_differ(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (in_use(subject) && rope.types_differ()) {
    hits.at(rope.type_key.origin,
            fmt::format("type is \"{}\" and rope_type is \"{}\": transformers 5 takes rope_type, "
                        "transformers 4 takes type, vLLM refuses the config",
                        escape_control(*rope.type_key), escape_control(*rope.rope_type_key)));
  }
}

void containers_differ(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (in_use(subject) && rope.both_containers && rope.containers_differ) {
    hits.at_rope("rope_scaling and rope_parameters are both there and say different things; "
                 "transformers 5 takes rope_scaling and forgets the other");
  }
}

void both_containers(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (in_use(subject) && rope.both_containers && !rope.containers_differ) {
    hits.at_rope("rope_scaling and rope_parameters are both there; transformers 5 takes "
                 "rope_scaling and drops what only rope_parameters says");
  }
}

void legacy_type_key(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (in_use(subject) && rope.type_key && !rope.rope_type_key) {
    hits.at(rope.type_key.origin,
            fmt::format("only type (\"{}\") is there, the spelling before transformers 5; "
                        "mcore-bridge reads rope_type alone",
                        escape_control(*rope.type_key)));
  }
}

void only_rope_type_key(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const bool plain = rope.rope_type_key && *rope.rope_type_key == "default";
  if (in_use(subject) && rope.rope_type_key && !rope.type_key && !plain) {
    hits.at(rope.rope_type_key.origin,
            fmt::format("only rope_type (\"{}\") is there; DeepSeek's remote code, mbridge, verl, "
                        "vllm.rs and mistral.rs read type",
                        escape_control(*rope.rope_type_key)));
  }
}

void type_missing(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (in_use(subject) && !rope.type_key && !rope.rope_type_key && rope.layer.empty()
      && (rope.factor || rope.mscale_all_dim || rope.mscale)) {
    hits.at_missing_rope_key("rope_type",
                             fmt::format("{} scales something but has neither type nor rope_type: "
                                         "transformers 5 and vLLM take it for \"default\", SGLang "
                                         "and transformers 4 apply mscale to any dictionary",
                                         rope.container));
  }
}

void type_unknown(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  const std::span<const std::string_view> known = scale::known_rope_types();
  const std::string type = rope.type.value_or("default");
  if (std::find(known.begin(), known.end(), type) == known.end()) {
    const std::string_view near = closest_match(type, known);
    hits.at(rope.type.origin,
            fmt::format("rope type \"{}\" is not known to any engine{}", escape_control(type),
                        near.empty() ? "" : fmt::format("; \"{}\" may be meant", near)));
  }
}

/// The known key that `name` is a slip of and that is missing, or an empty view.
std::string_view meant_key(const Subject& subject, std::string_view name) {
  if (is_known(subject, name)) {
    return {};
  }
  const std::string_view near = closest_match(name, known_keys(subject));
  const std::size_t allowed = name.size() < 6 ? 1 : 2;
  const bool slip = !near.empty() && name.size() >= 4 && edit_distance(name, near) <= allowed;
  return slip && !subject.rope_key(near) ? near : std::string_view();
}

template <typename Visit>
void for_each_rope_key(const Subject& subject, Visit visit) {
  if (!subject.dictionary || !(in_use(subject) || is_params_json(subject))) {
    return;
  }
  for (std::optional<json::Value> member = subject.dictionary->first(); member;
       member = member->next()) {
    visit(*member);
  }
}

void misspelt_rope_key(const Subject& subject, Hits& hits) {
  for_each_rope_key(subject, [&](const json::Value& member) {
    if (const std::string_view meant = meant_key(subject, member.key()); !meant.empty()) {
      hits.at(member, fmt::format("{} is not a {} key; {} is, and it is missing",
                                  escape_control(member.key()),
                                  is_params_json(subject) ? "yarn" : "rope", meant));
    }
  });
}

void unknown_rope_key(const Subject& subject, Hits& hits) {
  for_each_rope_key(subject, [&](const json::Value& member) {
    if (is_known(subject, member.key()) || !meant_key(subject, member.key()).empty()) {
      return;
    }
    if (is_params_json(subject)) {
      hits.at(member, fmt::format("{} is not one of the keys that yarn has in params.json; vLLM "
                                  "refuses the file",
                                  escape_control(member.key())));
    } else if (!member.is_object()) {
      hits.at(member, fmt::format("{} is a rope key that no engine is known to read",
                                  escape_control(member.key())));
    }
  });
}

void mistral_keys(const Subject& subject, Hits& hits) {
  if (!in_use(subject)) {
    return;
  }
  struct Pair {
    std::string_view native, converted;
  };
  for (const Pair& pair : {Pair{"beta", "beta_fast"}, Pair{"alpha", "beta_slow"}}) {
    const std::optional<json::Value> value = subject.rope_key(pair.native);
    if (value && !subject.rope_key(pair.converted)) {
      hits.at(*value, fmt::format("{} is the name in Mistral's params.json; readers of config.json "
                                  "look for {} and take a default",
                                  pair.native, pair.converted));
    }
  }
}

void nested_dictionary(const Subject& subject, Hits& hits) {
  const Rope& rope = subject.config.rope;
  if (in_use(subject) && !rope.layer.empty()
      && subject.config.attention != model::AttentionKind::shared_kv) {
    hits.at_rope(fmt::format("rope is nested by kind of layer (\"{}\"); vLLM's deepseek_v2.py "
                             "indexes rope_type at the top and fails with KeyError",
                             escape_control(rope.layer)));
  }
}

constexpr std::array k_rope_spelling_rules = {
    Rule{"MLA201", "rope-types-differ", Severity::error, "type and rope_type differ",
         "Which of the two counts depends on the engine and its version, so the same file is read "
         "as two models.",
         "\"type\": \"yarn\", \"rope_type\": \"default\"", "make the two equal",
         "transformers modeling_rope_utils.py@decba1d2 L742; configuration_deepseek_v3.py@eca74d13 "
         "(type wins); vllm config.py@0036026e patch_legacy_rope_type",
         types_differ},
    Rule{"MLA202", "rope-containers-differ", Severity::error,
         "rope_scaling and rope_parameters differ",
         "transformers 5 lets a non-empty rope_scaling replace rope_parameters entirely; engines "
         "that read rope_parameters first compute another scale.",
         "\"rope_scaling\": {\"factor\": 40}, \"rope_parameters\": {\"factor\": 32}",
         "keep one of the two", "transformers configuration_utils.py@decba1d2 L312",
         containers_differ},
    Rule{"MLA203", "rope-containers-both", Severity::note,
         "rope_scaling and rope_parameters are both there",
         "They agree today. The next edit changes one of them.",
         "the same dictionary under both names",
         "keep rope_parameters, or rope_scaling for old "
         "readers, but not both",
         "transformers configuration_utils.py@decba1d2 L312", both_containers},
    Rule{"MLA204", "rope-type-legacy-key", Severity::note, "only the old spelling, type",
         "Nearly every engine accepts both spellings; a few take one only.",
         "\"rope_scaling\": {\"type\": \"yarn\", ...}", "add rope_type with the same value",
         "mcore-bridge gpt_model.py@f020e47 L66", legacy_type_key},
    Rule{"MLA205", "rope-type-new-key-only", Severity::note, "only the new spelling, rope_type",
         "Code that indexes type fails with a KeyError or, worse, falls back to no scaling.",
         "\"rope_scaling\": {\"rope_type\": \"yarn\", ...}", "add type with the same value",
         "DeepSeek remote code (type); mbridge deepseek_v3.py@10cb17f; vllm.rs "
         "mla_attention.rs@1b00e27; mistral.rs layers.rs@9e922623",
         only_rope_type_key},
    Rule{"MLA206", "rope-type-missing", Severity::error, "a scaling dictionary without a type",
         "transformers 5 writes \"default\" and ignores the factor, and vLLM sees what it wrote. "
         "Engines that ask for a dictionary instead of a type apply mscale; DeepSeek's remote code "
         "raises KeyError.",
         "\"rope_scaling\": {\"factor\": 40, \"mscale_all_dim\": 1.0}", "add rope_type and type",
         "transformers modeling_rope_utils.py@decba1d2 L742; vllm config.py@0036026e; sglang "
         "model_config.py@001adf56",
         type_missing, "MLA208"},
    Rule{"MLA207", "rope-type-unknown", Severity::error, "an unknown rope type",
         "transformers raises KeyError when the rope module is built; the DeepSeek classes of vLLM "
         "and SGLang turn it into deepseek_yarn, vLLM's others raise ValueError; still others fall "
         "back to no scaling.",
         "\"rope_type\": \"yran\"", "correct the type",
         "transformers ROPE_INIT_FUNCTIONS@decba1d2; vllm get_rope@07b12f1b", type_unknown},
    Rule{"MLA208", "rope-key-misspelt", Severity::error, "a rope key looks misspelt",
         "An unknown key is ignored (transformers prints a warning at most), and the default of "
         "the one that was meant takes its place: the scale changes without a word.",
         "\"msclae_all_dim\": 1.0", "correct the spelling",
         "transformers#32182 (unrecognised keys are a warning)", misspelt_rope_key},
    Rule{"MLA209", "rope-key-unknown", Severity::note, "a rope key that nothing reads",
         "Whatever it was meant to do, it does not do it.", "\"yarn_strength\": 2",
         "remove the key, or find the name that engines read",
         "keys of transformers 5.17.0, vLLM get_rope and configs/mistral.py@01da88c5 (the keys of "
         "params.json, asserted)",
         unknown_rope_key},
    Rule{"MLA210", "rope-mistral-keys", Severity::warning,
         "Mistral's names for the ramp in a config.json",
         "beta and alpha are beta_fast and beta_slow in params.json. Readers of config.json do not "
         "know them; the defaults 32 and 1 happen to be the published values.",
         "\"rope_scaling\": {\"beta\": 32, \"alpha\": 1}", "write beta_fast and beta_slow",
         "vllm configs/mistral.py@01da88c5", mistral_keys},
    Rule{"MLA211", "rope-nested", Severity::warning, "rope nested by kind of layer",
         "Nested dictionaries came with transformers 5; engines that index rope_type at the top "
         "fail, and `truncate` is never found in nested ones.",
         "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"yarn\", ...}}",
         "flatten the dictionary, since all MLA layers rotate alike",
         "vllm#54815; transformers modeling_rope_utils.py@decba1d2 L474", nested_dictionary},
};

} // namespace

std::span<const Rule> rope_spelling_rules() {
  return k_rope_spelling_rules;
}

} // namespace mla_scale::audit
