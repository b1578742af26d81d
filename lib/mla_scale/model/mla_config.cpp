#include <mla_scale/model/mla_config.hpp>

namespace mla_scale::model {

std::string_view to_string(Format format) {
  switch (format) {
  case Format::huggingface:
    return "huggingface";
  case Format::mistral:
    return "mistral";
  case Format::deepseek:
    return "deepseek";
  case Format::gguf:
    return "gguf";
  }
  return "huggingface";
}

bool Rope::types_differ() const {
  if (!type_key || !rope_type_key || *type_key == *rope_type_key) {
    return false;
  }
  const bool renamed = *type_key == "su" && *rope_type_key == "longrope";
  const bool sectioned = *type_key == "mrope" && *rope_type_key == "default";
  return !renamed && !sectioned;
}

bool Rope::is_yarn() const {
  const std::string name = type.value_or("default");
  return name == "yarn" || name == "deepseek_yarn" || name == "telechat3-yarn";
}

} // namespace mla_scale::model
