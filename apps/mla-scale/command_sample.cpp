#include "command_sample.hpp"

#include "inputs.hpp"
#include "one_of.hpp"
#include "output.hpp"
#include "progress.hpp"

#include <mla_scale/core/text.hpp>
#include <mla_scale/report/sample.hpp>
#include <mla_scale/scale/softmax_scale.hpp>
#include <mla_scale/scale/yarn.hpp>
#include <mla_scale/tensor/sampling/sample.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

namespace mla_scale::cli {
namespace {

using tensor::sampling::Distribution;
using tensor::sampling::SampleParameters;

struct SampleOptions {
  std::string path;
  std::string file;
  std::string format = "text";
  std::string dtype = "bf16";
  std::string distribution = "realistic";
  SampleParameters parameters;
};

const std::map<std::string, tensor::Dtype> k_dtypes = {
    {"bf16", tensor::Dtype::bf16}, {"fp16", tensor::Dtype::f16}, {"fp32", tensor::Dtype::f32}};

/// The one model that a path names, if it has a latent to sample; else says what it lacks.
std::optional<report::Inspection> model_to_sample(const std::string& path) {
  std::optional<report::Inspection> model = read_model(path);
  if (!model) {
    return std::nullopt;
  }
  const model::Dims& dims = model->model.config()->dims;
  if (!dims.num_attention_heads || !dims.kv_lora_rank || !dims.v_head_dim) {
    print_error(fmt::format("{}: has no latent attention (kv_lora_rank) to sample",
                            escape_control(model->model.source)));
    return std::nullopt;
  }
  return model;
}

/// The numbers of a model that shape its sample.
void take_model(const report::Inspection& inspection, SampleParameters& parameters) {
  const model::MlaConfig& config = *inspection.model.config();
  parameters.geometry = {*config.dims.num_attention_heads, *config.dims.kv_lora_rank,
                         *config.dims.qk_nope_head_dim, *config.dims.qk_rope_head_dim,
                         *config.dims.v_head_dim};
  parameters.softmax_scale = inspection.scale->prefill;
  parameters.cos_sin_factor = inspection.scale->cos_sin_factor.value_or(1.0);
  parameters.interleaved = config.rope.interleaved.value_or(true);
  if (config.rope.rotated && parameters.geometry.qk_rope_head_dim > 0) {
    parameters.inverse_frequencies = scale::inverse_frequencies(scale::rope_frequencies(config));
  }
}

ExitCode sample(const SampleOptions& options) {
  const std::optional<report::Inspection> model = model_to_sample(options.path);
  if (!model) {
    return ExitCode::input;
  }
  SampleParameters parameters = options.parameters;
  parameters.dtype = k_dtypes.at(options.dtype);
  parameters.distribution = *tensor::sampling::distribution_named(options.distribution);
  take_model(*model, parameters);
  Progress progress("rows");
  parameters.progress = [&](std::size_t done, std::size_t total) { progress.update(done, total); };
  const auto written = tensor::sampling::write_sample(parameters, options.file);
  progress.finish();
  if (!written) {
    print_error(to_string(written.error()));
    return written.error().kind == ErrorKind::usage ? ExitCode::usage : ExitCode::input;
  }
  const report::SampleSummary summary = {model->model.path, options.file, *written, parameters};
  OutputOptions output;
  output.format = options.format;
  const auto render = [&](std::string_view format, const TerminalStyle&) {
    return format == "json" ? report::sample_json(summary) : report::sample_text(summary);
  };
  return write_outputs(output, render, ExitCode::fine);
}

/// Complains unless the text is an integer that fits 64 bits.
std::string seed(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && last == end
             ? std::string()
             : fmt::format("'{}' is not an integer from 0 to 2^64-1", escape_control(text));
}

/// Complains about the name of another format, whose readers would take the file for a broken one.
std::string safetensors_name(const std::string& text) {
  const std::string extension = std::filesystem::path(text).extension().string();
  return tensor::is_tensor_file(text) && extension != ".safetensors" ? fmt::format(
             "'{}' would hold safetensors, not {}", escape_control(text), escape_control(extension))
                                                                     : std::string();
}

} // namespace

Action setup_sample(CLI::App& app) {
  auto options = std::make_shared<SampleOptions>();
  SampleParameters& parameters = options->parameters;
  app.add_option("PATH", options->path,
                 "A model directory, a config file, a .gguf, or - for JSON on standard input")
      ->required();
  app.add_option("-o,--output", options->file, "Write the sample to FILE, as safetensors")
      ->required()
      ->check(safetensors_name)
      ->type_name("FILE");
  app.add_option("--seq-len", parameters.seq_len, "Query rows")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--prefix-len", parameters.prefix_len, "Key rows before the first query row")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--heads", parameters.heads, "Heads, a divisor of the model's; 0 for all of them")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--seed", parameters.seed, "Another seed, another sample")
      ->check(seed)
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--dtype", options->dtype, "bf16, fp16 or fp32")
      ->check(OneOf({"bf16", "fp16", "fp32"}))
      ->type_name("DTYPE")
      ->option_text("DTYPE");
  app.add_option("--distribution", options->distribution,
                 "realistic (spread logits, a sink, locality), gaussian, peaked, or flat, which "
                 "hides bugs")
      ->check(OneOf({"realistic", "gaussian", "flat", "peaked"}))
      ->type_name("NAME")
      ->option_text("NAME");
  app.add_option("--threads", parameters.threads,
                 "Threads, 0 for as many as the machine has; never changes the bytes")
      ->type_name("N");
  app.add_option("-f,--format", options->format, "Format on standard output: text, json")
      ->check(OneOf({"text", "json"}))
      ->type_name("FORMAT")
      ->option_text("FORMAT");
  return [options] { return sample(*options); };
}

} // namespace mla_scale::cli
