#pragma once

#include <mla_scale/model/mla_config.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mla_scale::engines {

/// How a rule is known.
enum class Certainty {
  read,     ///< in the source at the commit named, or executed
  reported, ///< in a thread or a document of the project
  inferred, ///< follows from what was read; nobody ran it
};

/// What g(factor, weight) takes for its weight.
enum class Key {
  none,           ///< the engine has no magnitude
  mscale_all_dim, ///< the key of the law
  mscale,         ///< the other key: DeepSeek's inference code and those that copied it
  constant,       ///< EngineRule::constant, whatever the config says
};

/// When the magnitude enters the softmax scale.
enum class Gate {
  always,               ///< no gate: a factor above 1 is enough
  not_default,          ///< for any rope type but "default"
  dictionary,           ///< whenever the rope dictionary says more than "default"
  factor_or_yarn,       ///< for a factor that is there, and for the yarn types
  all_dim_key,          ///< whenever mscale_all_dim is in the dictionary
  yarn,                 ///< for the rope type "yarn", exactly
  deepseek_yarn,        ///< for the literal "deepseek_yarn"
  longer_than_original, ///< max_position_embeddings > original_max_position_embeddings
  yarn_and_longer,      ///< both "yarn" and longer than the original
  original_given,       ///< original_max_position_embeddings above 0
};

/// Which of type and rope_type an engine reads.
enum class TypeReading {
  rope_type_first, ///< rope_type, else type
  type_first,      ///< type, else rope_type
  type_only,       ///< only type: a dictionary without it fails
  type_or_none,    ///< only type: a dictionary without it has no type
  must_not_differ, ///< either; both and different is an error; "mrope" is "default"
};

/// What a missing factor does.
enum class MissingFactor {
  key_error, ///< KeyError: 'factor'
  one,       ///< counts as 1
  forty,     ///< counts as 40, the default of DeepSeek's classes
};

/// What cos and sin are multiplied by when the rope is YaRN's.
enum class CosSin {
  unknown,      ///< not established
  one,          ///< 1
  ratio,        ///< g(factor, mscale) / g(factor, mscale_all_dim), missing keys 1 and 0
  transformers, ///< attention_factor; else the ratio when both keys are there and not 0; else
                ///< g(factor, 1)
};

/// What the softmax scale is the inverse square root of.
enum class Width {
  qk_head_dim, ///< qk_nope_head_dim + qk_rope_head_dim
  latent_dim,  ///< kv_lora_rank + qk_rope_head_dim
  v_head_dim,  ///< v_head_dim
  fixed_192,   ///< 192, whatever the config says
  twice,       ///< the inverse square root of qk_head_dim is applied twice
  one,         ///< no division: the scale is 1
};

/// One phase of attention in one engine.
struct Phase {
  Width width = Width::qk_head_dim;
  bool magnitude = true; ///< false: g^2 is left out here
  bool inverse = false;  ///< q is divided by the scale instead of multiplied
};

/// Keys that switch the magnitude off; a sum of these.
enum OffSwitch : unsigned {
  k_no_switch = 0,
  k_apply_yarn_scaling = 1, ///< apply_yarn_scaling or apply_scale false
  k_attention_factor_1 = 2, ///< attention_factor exactly 1
};

/// What an engine does with Mistral's own format (yarn.apply_scale).
enum class MistralReading {
  not_known, ///< no reader of params.json is known
  honoured,  ///< apply_scale false leaves g^2 out
  ignored,   ///< mscale_all_dim is 1 whatever apply_scale says
};

/// How one family fares in one engine, where it is not the engine's ordinary rule.
enum class Treatment {
  rule,           ///< the engine's ordinary rule; read for this family
  plain,          ///< never g^2
  ordinary_heads, ///< never g^2, and the model does not run through the engine's MLA path
  deepseek_yarn,  ///< g^2 only for the literal rope type "deepseek_yarn"
  remote_code,    ///< the model's own Python code runs
  unsupported,    ///< the engine does not know it
  fails,          ///< loading stops; words are the error
};

struct FamilyNote {
  std::string_view names; ///< family ids or model types, separated by spaces
  Treatment treatment = Treatment::rule;
  std::string_view words = {}; ///< why, or the error in the engine's own words
  Certainty certainty = Certainty::read;
};

/// The numbers that an engine comes to for one config.
struct Numbers {
  std::optional<double> prefill;
  std::optional<double> decode;
  std::optional<double> cos_sin_factor;
  std::string error;          ///< the engine's own words when it fails; then there are no scales
  std::string prefill_reason; ///< what it did, for the case that the number is not the law's
  std::string decode_reason;
  std::string cos_sin_reason;
};

/// One row: how one engine, in one range of its versions, finds the softmax scale.
struct EngineRule {
  std::string_view id = {}; ///< "vllm", "vllm@32623"; the slug alone is the newest state known
  std::string_view name = {};
  std::string_view versions = {}; ///< versions or commits, in words
  Key key = Key::mscale_all_dim;
  Gate gate = Gate::not_default;
  TypeReading type = TypeReading::rope_type_first;
  MissingFactor missing_factor = MissingFactor::key_error;
  CosSin cos_sin = CosSin::ratio;
  unsigned off_switches = k_no_switch;
  double constant = 1;                       ///< the weight where key is constant
  std::optional<double> missing_all_dim = 0; ///< weight for a missing mscale_all_dim
  std::optional<double> missing_mscale = 1;  ///< weight for a missing mscale
  Phase prefill = {};
  Phase decode = {};
  std::string_view required = {}; ///< keys whose absence is a KeyError, where the gate is open
  bool required_or_off = false;   ///< their absence switches YaRN off instead
  bool fills_original = false;    ///< but transformers 5 has filled in the original length before
  std::string_view known_types = {}; ///< rope types it knows; another is a KeyError. Empty: any
  bool unknown_type_is_value_error = false; ///< or a ValueError
  bool counts_default_dictionary = false;   ///< a dictionary that says only "default" counts too
  bool rope_scaling_only = false; ///< rope_parameters, the key of transformers 5, is not seen
  bool nested_is_default = false; ///< a dictionary for each layer kind counts as rope type default
  std::string_view nested_error = {};       ///< or is an error
  bool validates_keys = false;              ///< the checks of transformers 5 on required keys
  bool factor_from_lengths = false;         ///< cos/sin take max / original for the factor
  std::string_view without_dictionary = {}; ///< the error for a config without rope dictionary
  std::string_view without_dictionary_families = {}; ///< only for these families; empty: for all
  bool coerces_types = false;          ///< any rope type but default becomes DeepSeek's YaRN
  bool attn_factor = false;            ///< cos/sin are also multiplied by attn_factor
  bool prefill_ignores_family = false; ///< prefill applies g^2 even where the model class does not
  bool latent_width_without_all_dim = false; ///< yarn without mscale_all_dim: latent_dim^-1/2
  MistralReading mistral = MistralReading::not_known;
  std::string_view mistral_words = {}; ///< more about Mistral's format
  std::span<const FamilyNote> families = {};
  std::string_view only_families = {}; ///< ids of the families it knows; empty: not restricted
  bool reads_gguf = false;
  bool reads_deepseek = false;   ///< the configs of DeepSeek's own inference code
  bool needs_model_type = false; ///< fails without model_type, unless auto_map names the code
  /// For the few whose arithmetic is not of this shape; `explain` then shows `formula`.
  Numbers (*special)(const EngineRule&, const model::MlaConfig&) = nullptr;
  std::string_view formula = {}; ///< in words; empty: composed from the fields above
  std::string_view note = {};    ///< anything else worth knowing
  std::string_view source = {};
  Certainty certainty = Certainty::read;
};

/// "read", "reported", "inferred".
[[nodiscard]] std::string_view to_string(Certainty certainty);

/// All rows, grouped by engine, the newest state of each first. Ids are unique.
[[nodiscard]] std::span<const EngineRule> engine_rules();

/// The row with this id; null when there is none.
[[nodiscard]] const EngineRule* find_engine_rule(std::string_view id);

} // namespace mla_scale::engines
