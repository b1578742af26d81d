#pragma once

// The readers of each format, as load.cpp calls them once it knows which one a file is in.

#include <mla_scale/model/load.hpp>

#include <memory>

namespace mla_scale::model {

using Outcome = std::variant<MlaConfig, NotMla, Error>;

[[nodiscard]] Outcome read_huggingface(const ModelFile& file,
                                       const std::shared_ptr<const json::Document>& document);
[[nodiscard]] Outcome read_mistral(const ModelFile& file,
                                   const std::shared_ptr<const json::Document>& document);
[[nodiscard]] Outcome read_deepseek(const ModelFile& file,
                                    const std::shared_ptr<const json::Document>& document);
[[nodiscard]] Outcome read_gguf(const ModelFile& file);

/// Whether a text is a JSON object with the keys of some model config.
[[nodiscard]] bool is_model_config(const std::string& text);

/// Fills in class defaults and derived widths and checks that every width the attention needs is
/// known. Error: schema, naming the missing key.
[[nodiscard]] std::optional<Error> complete_dims(MlaConfig& config);

} // namespace mla_scale::model
