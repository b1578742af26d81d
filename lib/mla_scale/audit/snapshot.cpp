#include <mla_scale/audit/snapshot.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/engines/engine_rule.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/json/writer.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::audit {
namespace {

constexpr std::size_t k_largest_snapshot = std::size_t{1} << 30;
constexpr std::int64_t k_schema_version = 1;

Result<Scalar> read_scalar(const json::Value& value) {
  switch (value.kind()) {
  case json::Kind::null:
    return Scalar();
  case json::Kind::boolean:
    return Scalar(value.as_boolean().value());
  case json::Kind::integer:
    if (const Result<std::int64_t> number = value.as_integer()) {
      return Scalar(*number);
    }
    return value.error("an integer that does not fit 64 bits");
  case json::Kind::number:
    if (const Result<double> number = value.as_number()) {
      return Scalar(*number);
    }
    return value.error("a number that is not finite");
  case json::Kind::string:
    return Scalar(std::string(value.as_string().value()));
  default:
    return value.error(
        fmt::format("a field of a snapshot is a scalar, but {} stands here", value.excerpt()));
  }
}

Result<Snapshot::Model> read_model(const json::Value& value) {
  const std::optional<json::Value> path = value.find("path");
  const std::optional<json::Value> fields = value.find("fields");
  if (!path || !path->is_string()) {
    return value.error("a model of a snapshot needs a path");
  }
  if (!fields || !fields->is_object()) {
    return value.error("a model of a snapshot needs fields");
  }
  Snapshot::Model model{std::string(*path->as_string()), {}};
  for (std::optional<json::Value> field = fields->first(); field; field = field->next()) {
    Result<Scalar> scalar = read_scalar(*field);
    if (!scalar) {
      return scalar.error();
    }
    model.record.push_back({std::string(field->key()), *std::move(scalar)});
  }
  return model;
}

/// The list of engines; empty where there is none.
Result<std::vector<std::string>> read_engines(const json::Value& root) {
  std::vector<std::string> engines;
  const std::optional<json::Value> list = root.find("engines");
  if (list && !list->is_array()) {
    return list->error("engines is not an array of names");
  }
  for (std::optional<json::Value> engine = list ? list->first() : std::nullopt; engine;
       engine = engine->next()) {
    const Result<std::string_view> name = engine->as_string();
    if (!name) {
      return name.error();
    }
    engines.emplace_back(*name);
  }
  return engines;
}

} // namespace

Snapshot take_snapshot(const Audit& audit) {
  Snapshot snapshot;
  for (const AuditedModel& model : audit.models) {
    snapshot.models.push_back({model.relative_path, model.record.value_or(Record())});
  }
  std::sort(snapshot.models.begin(), snapshot.models.end(),
            [](const auto& left, const auto& right) { return left.path < right.path; });
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    snapshot.engines.emplace_back(rule.id);
  }
  return snapshot;
}

std::string write_snapshot(const Snapshot& snapshot) {
  json::Writer writer;
  writer.begin_object();
  writer.member("schema_version", k_schema_version);
  writer.key("models").begin_array();
  for (const Snapshot::Model& model : snapshot.models) {
    writer.begin_object();
    writer.member("path", model.path);
    writer.key("fields").begin_object();
    for (const Field& field : model.record) {
      writer.key(field.name);
      write_scalar(writer, field.value);
    }
    writer.end_object();
    writer.end_object();
  }
  writer.end_array();
  writer.key("engines").begin_array();
  for (const std::string& engine : snapshot.engines) {
    writer.value(engine);
  }
  writer.end_array();
  writer.end_object();
  return writer.finish();
}

Result<Snapshot> read_snapshot(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path, k_largest_snapshot);
  if (!text) {
    return text.error();
  }
  json::Limits limits;
  limits.max_bytes = k_largest_snapshot;
  const Result<json::Document> document =
      json::Document::parse(*std::move(text), path.string(), limits);
  if (!document) {
    return document.error();
  }
  const json::Value root = document->root();
  const std::optional<json::Value> version = root.find("schema_version");
  const std::optional<json::Value> models = root.find("models");
  if (!version || version->as_integer().value_or(0) != k_schema_version) {
    return (version ? *version : root).error("a snapshot has schema_version 1");
  }
  if (!models || !models->is_array()) {
    return root.error("a snapshot has an array of models");
  }
  Snapshot snapshot;
  for (std::optional<json::Value> model = models->first(); model; model = model->next()) {
    Result<Snapshot::Model> read = read_model(*model);
    if (!read) {
      return read.error();
    }
    snapshot.models.push_back(*std::move(read));
  }
  Result<std::vector<std::string>> engines = read_engines(root);
  if (!engines) {
    return engines.error();
  }
  snapshot.engines = *std::move(engines);
  return snapshot;
}

} // namespace mla_scale::audit
