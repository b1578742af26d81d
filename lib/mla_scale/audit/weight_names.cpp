#include "weight_names.hpp"

#include <algorithm>
#include <array>

namespace mla_scale::audit {
namespace {

/// The role of a tensor and the names that it goes by: those of HuggingFace, of DeepSeek's
/// inference code and of Mistral.
struct Role {
  WeightShape LayerWeights::*place;
  std::array<std::string_view, 3> names;
};

constexpr std::array k_roles = {
    Role{&LayerWeights::kv_a, {"kv_a_proj_with_mqa", "wkv_a", "wkv_a_with_mqa"}},
    Role{&LayerWeights::kv_a_norm, {"kv_a_layernorm", "kv_norm", "kv_a_norm"}},
    Role{&LayerWeights::kv_b, {"kv_b_proj", "wkv_b", "wkv_b"}},
    Role{&LayerWeights::q_a, {"q_a_proj", "wq_a", "wq_a"}},
    Role{&LayerWeights::q_a_norm, {"q_a_layernorm", "q_norm", "q_a_norm"}},
    Role{&LayerWeights::q_b, {"q_b_proj", "wq_b", "wq_b"}},
    Role{&LayerWeights::q, {"q_proj", "wq", "wq"}},
    Role{&LayerWeights::o, {"o_proj", "wo", "wo"}},
};

} // namespace

std::optional<WeightName> parse_weight_name(std::string_view name) {
  constexpr std::string_view k_weight = ".weight";
  constexpr std::string_view k_scale = ".weight_scale_inv";
  const bool is_scale = name.ends_with(k_scale);
  if (!is_scale && !name.ends_with(k_weight)) {
    return std::nullopt;
  }
  name.remove_suffix(is_scale ? k_scale.size() : k_weight.size());
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view prefix = name.substr(0, dot + 1);
  name.remove_prefix(dot + 1);
  // Only DeepSeek's code, whose layers are named attn, normalises the compressed query by this
  // name; elsewhere it is a norm over each head.
  if ((name == "q_norm" || name == "kv_norm") && !prefix.ends_with(".attn.")) {
    return std::nullopt;
  }
  for (const Role& role : k_roles) {
    if (std::find(role.names.begin(), role.names.end(), name) != role.names.end()) {
      return WeightName{prefix, role.place, is_scale};
    }
  }
  return std::nullopt;
}

bool ByNumber::operator()(std::string_view left, std::string_view right) const {
  const auto digits = [](std::string_view text) {
    return std::min(text.find_first_not_of("0123456789"), text.size());
  };
  while (!left.empty() && !right.empty()) {
    const std::size_t mine = digits(left);
    const std::size_t theirs = digits(right);
    if (mine != theirs && mine != 0 && theirs != 0) {
      return mine < theirs;
    }
    if (left.front() != right.front()) {
      return left.front() < right.front();
    }
    left.remove_prefix(1);
    right.remove_prefix(1);
  }
  return left.size() < right.size();
}

} // namespace mla_scale::audit
