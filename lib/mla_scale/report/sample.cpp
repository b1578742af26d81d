#include <mla_scale/core/text.hpp>
#include <mla_scale/json/writer.hpp>
#include <mla_scale/report/begin_report.hpp>
#include <mla_scale/report/inspect_json.hpp>
#include <mla_scale/report/sample.hpp>
#include <mla_scale/tensor/tensor.hpp>

#include <fmt/format.h>

namespace mla_scale::report {
namespace {

std::int64_t heads_of(const SampleSummary& summary) {
  const auto& parameters = summary.parameters;
  return parameters.heads == 0 ? parameters.geometry.num_attention_heads : parameters.heads;
}

} // namespace

std::string sample_text(const SampleSummary& summary) {
  const auto& parameters = summary.parameters;
  std::string text =
      fmt::format("{}: seed {}, {}, for {}\n", escape_control(summary.file), parameters.seed,
                  to_string(parameters.distribution), escape_control(summary.model));
  for (const tensor::TensorPlan& plan : summary.tensors) {
    text += fmt::format("  {:<12} {:<6} {}\n", plan.name, tensor::to_string(plan.dtype),
                        tensor::shape_text(plan.shape));
  }
  return text;
}

std::string sample_json(const SampleSummary& summary) {
  const auto& parameters = summary.parameters;
  json::Writer writer;
  begin_report(writer);
  writer.member("model", summary.model).member("file", summary.file);
  writer.member("seed", parameters.seed);
  writer.member("distribution", to_string(parameters.distribution));
  writer.member("dtype", tensor::to_string(parameters.dtype)).member("heads", heads_of(summary));
  writer.member("query_rows", parameters.seq_len);
  writer.member("key_rows", parameters.prefix_len + parameters.seq_len);
  writer.key("tensors").begin_array();
  for (const tensor::TensorPlan& plan : summary.tensors) {
    writer.begin_object().member("name", plan.name);
    writer.member("dtype", tensor::to_string(plan.dtype));
    writer.key("shape").begin_array();
    for (const std::int64_t extent : plan.shape) {
      writer.value(extent);
    }
    writer.end_array().end_object();
  }
  writer.end_array().end_object();
  return writer.finish();
}

} // namespace mla_scale::report
