#include "readers.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/core/parallel.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::model {
namespace {

// The largest published configs, with lists of quantised layers, stay below 1 MiB.
constexpr std::size_t k_largest_config = std::size_t{8} << 20;

bool has(const json::Value& object, std::string_view key) {
  return object.find(key).has_value();
}

bool has_any(const json::Value& object, std::initializer_list<std::string_view> keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](std::string_view key) { return has(object, key); });
}

/// Which format a JSON object is in: by keys that only one of them has.
std::optional<Format> detect(const json::Value& root) {
  if (has_any(root, {"model_type", "architectures", "num_attention_heads", "text_config",
                     "language_config", "llm_config"})) {
    return Format::huggingface;
  }
  const bool sized = has(root, "n_heads") || has(root, "dim");
  if (sized
      && has_any(root, {"inter_dim", "moe_inter_dim", "n_dense_layers", "n_routed_experts",
                        "rope_head_dim", "compress_ratios"})) {
    return Format::deepseek;
  }
  if (sized
      && has_any(root,
                 {"norm_eps", "n_kv_heads", "hidden_dim", "yarn", "llama_4_scaling", "moe"})) {
    return Format::mistral;
  }
  if (sized && has_any(root, {"kv_lora_rank", "qk_nope_head_dim"})) {
    return Format::deepseek;
  }
  if (has_any(root, {"kv_lora_rank", "qk_nope_head_dim", "compress_ratios"})) {
    return Format::huggingface;
  }
  return std::nullopt;
}

Outcome read_format(Format format, const ModelFile& file,
                    const std::shared_ptr<const json::Document>& document) {
  Outcome outcome = format == Format::mistral    ? read_mistral(file, document)
                    : format == Format::deepseek ? read_deepseek(file, document)
                                                 : read_huggingface(file, document);
  // Published configs of other kinds hold Infinity (Nemotron-H); one that is judged must not.
  if (!std::holds_alternative<NotMla>(outcome) && document->non_finite()) {
    outcome = *document->non_finite();
  }
  return outcome;
}

Outcome read_document(const ModelFile& file, std::string text) {
  json::Limits limits;
  limits.allow_non_finite = true;
  Result<json::Document> parsed = json::Document::parse(std::move(text), file.source, limits);
  if (!parsed) {
    return parsed.error();
  }
  const auto document = std::make_shared<const json::Document>(*std::move(parsed));
  const json::Value root = document->root();
  if (!root.is_object()) {
    return root.error(
        fmt::format("a model config is an object, but {} stands here", root.excerpt()));
  }
  const std::optional<Format> format = detect(root);
  if (!format) {
    Error error = root.error(
        "is JSON, but no model config: it has neither model_type and architectures nor the "
        "keys of a Mistral or DeepSeek config");
    error.kind = ErrorKind::unsupported;
    return error;
  }
  return read_format(*format, file, document);
}

Outcome read(const ModelFile& file) {
  if (file.source == "-") {
    Result<std::string> text = read_stdin(k_largest_config);
    if (text && text->starts_with("GGUF")) {
      return Error{ErrorKind::unsupported,
                   "is a GGUF, and standard input takes JSON only: name the file instead",
                   file.source,
                   {},
                   {}};
    }
    return text ? read_document(file, *std::move(text)) : Outcome(text.error());
  }
  if (file.source.ends_with(".gguf")) {
    return read_gguf(file);
  }
  Result<std::string> text = read_file(file.source, k_largest_config);
  // A GGUF of another name: mostly too large to be read as a config.
  const Result<std::string> head = text ? text->substr(0, 4) : read_file_head(file.source, 4);
  if (head && *head == "GGUF") {
    return read_gguf(file);
  }
  return text ? read_document(file, *std::move(text)) : Outcome(text.error());
}

} // namespace

bool is_model_config(const std::string& text) {
  json::Limits limits;
  limits.allow_non_finite = true;
  const Result<json::Document> document = json::Document::parse(text, {}, limits);
  return document && document->root().is_object() && detect(document->root()).has_value();
}

LoadedModel load_model(const ModelFile& file) {
  return LoadedModel{file.path, file.source, read(file)};
}

LoadedModel load_model_text(std::string text, const std::string& name) {
  const ModelFile file{name, name};
  return LoadedModel{name, name, read_document(file, std::move(text))};
}

Result<std::vector<LoadedModel>> load_models(const std::filesystem::path& path, unsigned threads) {
  const Result<std::vector<ModelFile>> files = find_model_files(path, threads);
  if (!files) {
    return files.error();
  }
  std::vector<LoadedModel> models(files->size());
  parallel_for(models.size(), threads, [&](std::size_t i) { models[i] = load_model((*files)[i]); });
  return models;
}

} // namespace mla_scale::model
