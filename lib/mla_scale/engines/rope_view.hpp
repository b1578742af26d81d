#pragma once

#include <mla_scale/engines/engine_rule.hpp>

namespace mla_scale::engines {

/// The rope keys of a config as one engine sees them.
struct RopeView {
  std::string type = "default";
  bool dictionary = false;
  bool factor_is_null = false;
  std::optional<double> factor;
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  std::optional<double> attention_factor;
  std::optional<double> attn_factor;
  std::optional<double> original;
  std::optional<bool> apply;
  std::string apply_key; ///< its name in the file
  double max_positions = 0;
  bool longer = true; ///< max_positions exceeds the original, or is not in the file
  std::string unseen; ///< why the engine overlooks a dictionary that is there
  std::string error;  ///< the engine already fails on reading them
};

/// Reads the config with the rule's preferences of keys.
[[nodiscard]] RopeView view_rope(const EngineRule& rule, const model::MlaConfig& config);

/// True for a dictionary of Mistral's own (params.json, or copied as it is into config.json) that
/// the engine has a reader for.
[[nodiscard]] bool reads_mistral_dictionary(const EngineRule& rule, const model::MlaConfig& config);

/// Whether `name` is one of the words of `list`.
[[nodiscard]] bool contains_word(std::string_view list, std::string_view name);

} // namespace mla_scale::engines
