#include "support/catch.hpp"
#include "support/kernel.hpp"
#include "support/safetensors.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/check/check.hpp>
#include <mla_scale/model/load.hpp>

#include <algorithm>
#include <cmath>

using namespace mla_scale;
using namespace mla_scale::check;

namespace {

constexpr const char* k_config = R"({
  "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"],
  "num_attention_heads": 4, "q_lora_rank": null, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
  "qk_rope_head_dim": 8, "v_head_dim": 16, "hidden_size": 64, "num_hidden_layers": 2,
  "max_position_embeddings": 163840, "rope_theta": 10000,
  "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
                   "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}})";
constexpr kernel::Shape k_shape = {64, 80, 4, 16, 8, 16};

/// 24^-1/2 · (0.1 ln 40 + 1)².
const double k_scale = std::pow(24.0, -0.5) * std::pow(0.1 * std::log(40.0) + 1.0, 2);

struct Model {
  model::LoadedModel loaded = model::load_model_text(k_config, "config.json");
  scale::SoftmaxScale scale = *scale::derive_softmax_scale(*loaded.config());

  [[nodiscard]] Result<Check> check(const std::filesystem::path& file,
                                    const Options& options = {}) const {
    return check_capture(*loaded.config(), scale, {file}, options);
  }
};

/// Saves a run; tensors named in `without` are left out.
void save(const kernel::Run& run, const std::filesystem::path& file,
          const std::string& without = "") {
  const kernel::Shape& s = run.shape;
  SafetensorsFile out;
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& shape,
                       const std::vector<double>& values) {
    if (without.find(name) == std::string::npos) {
      out.add(name, shape, values);
    }
  };
  add("q", {s.queries, s.heads, s.nope + s.rope}, run.q);
  add("k", {s.keys, s.heads, s.nope + s.rope}, run.k);
  add("v", {s.keys, s.heads, s.v}, run.v);
  add("out", {s.queries, s.heads, s.v}, run.out);
  add("lse", {s.queries, s.heads}, run.lse);
  out.write(file);
}

} // namespace

TEST_CASE("a capture is judged with the scale of its model's config", "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs(k_shape);
  kernel::attend(run, {k_scale});
  save(run, directory / "right.safetensors");
  const auto right = model.check(directory / "right.safetensors");
  REQUIRE(right.has_value());
  CHECK(right->softmax_scale == Approx(k_scale).epsilon(1e-14));
  CHECK(right->judgement.verdict == compare::Verdict::match);
  CHECK(right->judgement.dtypes.input == tensor::Dtype::bf16); // float32 that holds bf16
  CHECK(right->diagnosis.findings.empty());

  kernel::attend(run, {std::pow(24.0, -0.5)});
  save(run, directory / "wrong.safetensors");
  const auto wrong = model.check(directory / "wrong.safetensors");
  REQUIRE(wrong.has_value());
  CHECK(wrong->judgement.verdict == compare::Verdict::mismatch);
  REQUIRE(!wrong->diagnosis.findings.empty());
  CHECK(wrong->diagnosis.findings.front().id == "scale.mscale_omitted");

  Options given;
  given.softmax_scale = std::pow(24.0, -0.5);
  given.diagnose = false;
  CHECK(model.check(directory / "wrong.safetensors", given)->judgement.verdict
        == compare::Verdict::match);
}

TEST_CASE("lse alone proves a mismatch, but no match", "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs(k_shape);
  kernel::attend(run, {k_scale});
  save(run, directory / "right.safetensors", "out");
  const auto right = model.check(directory / "right.safetensors");
  REQUIRE(right.has_value());
  CHECK(right->judgement.verdict == compare::Verdict::inconclusive);

  kernel::attend(run, {0.5 * k_scale});
  save(run, directory / "wrong.safetensors", "out");
  const auto wrong = model.check(directory / "wrong.safetensors");
  REQUIRE(wrong.has_value());
  CHECK(wrong->judgement.verdict == compare::Verdict::mismatch);
}

TEST_CASE("chosen heads and rows are judged and nothing else", "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs(k_shape);
  kernel::attend(run, {k_scale});
  for (std::int64_t c = 0; c < k_shape.v; ++c) {
    run.out_at(40, 2, c) = 7.0;
  }
  save(run, directory / "capture.safetensors");
  Options options;
  options.diagnose = false;
  const auto verdict = [&](std::string_view heads, std::string_view rows) {
    options.heads = heads.empty() ? Selection{} : *parse_selection(heads);
    options.rows = rows.empty() ? Selection{} : *parse_selection(rows);
    return model.check(directory / "capture.safetensors", options)->judgement.verdict;
  };
  CHECK(verdict("", "") == compare::Verdict::mismatch);
  CHECK(verdict("2", "") == compare::Verdict::mismatch);
  CHECK(verdict("0,1,3", "") == compare::Verdict::match);
  CHECK(verdict("", "0-39,41-63") == compare::Verdict::match);
  options.heads = *parse_selection("4");
  CHECK(model.check(directory / "capture.safetensors", options).error().kind == ErrorKind::usage);
}

TEST_CASE("a capture without inputs or without outputs is inconclusive and says what to save",
          "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs(k_shape);
  kernel::attend(run, {k_scale});
  for (const char* without : {"q", "v", "out lse"}) {
    save(run, directory / "part.safetensors", without);
    const auto check = model.check(directory / "part.safetensors");
    INFO(without);
    REQUIRE(check.has_value());
    CHECK(check->judgement.verdict == compare::Verdict::inconclusive);
    CHECK(!check->judgement.reasons.empty());
    CHECK(!check->judgement.advice.empty());
  }
}

TEST_CASE("inputs that are all zero and an out without rows tell nothing", "[check]") {
  const TempDir directory;
  const Model model;
  for (std::vector<double> kernel::Run::*input :
       {&kernel::Run::q, &kernel::Run::k, &kernel::Run::v}) {
    kernel::Run run = kernel::inputs(k_shape);
    std::fill((run.*input).begin(), (run.*input).end(), 0.0);
    kernel::attend(run, {k_scale});
    save(run, directory / "zero.safetensors");
    const auto check = model.check(directory / "zero.safetensors");
    REQUIRE(check.has_value());
    CHECK(check->judgement.verdict == compare::Verdict::inconclusive);
    CHECK(check->judgement.reasons.front().find("all zero") != std::string::npos);
  }
  kernel::Run run = kernel::inputs(k_shape);
  kernel::attend(run, {k_scale});
  SafetensorsFile file;
  file.add("q", {64, 4, 24}, run.q);
  file.add("k", {80, 4, 24}, run.k);
  file.add("v", {80, 4, 16}, run.v);
  file.add("out", {0, 4, 16}, {});
  file.write(directory / "empty.safetensors");
  const auto check = model.check(directory / "empty.safetensors");
  REQUIRE(check.has_value());
  CHECK(check->judgement.verdict == compare::Verdict::inconclusive);
  CHECK(check->judgement.reasons.front().find("out is empty") != std::string::npos);
}

TEST_CASE("a square lse may be written either way round", "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs({4, 4, 4, 16, 8, 16});
  kernel::attend(run, {k_scale});
  save(run, directory / "rows_first.safetensors"); // [rows, heads]; torch writes [heads, rows]
  const auto check = model.check(directory / "rows_first.safetensors");
  REQUIRE(check.has_value());
  CHECK(check->judgement.verdict == compare::Verdict::match);
  const auto& notes = check->judgement.notes;
  CHECK(std::any_of(notes.begin(), notes.end(), [](const std::string& note) {
    return note.find("lse is square") != std::string::npos;
  }));
}

TEST_CASE("decode is judged in absorbed form from the latent", "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs({5, 80, 4, 16, 8, 16});
  const std::vector<double> latent = kernel::normal(31, 80 * 32);
  const std::vector<double> rope = kernel::normal(32, 80 * 8);
  const std::vector<double> weight = kernel::normal(33, 4 * 32 * 32, 0.18);
  // k and v by the definition of kv_b_proj: for each head 16 rows of W_UK, then 16 of W_UV.
  for (std::int64_t token = 0; token < 80; ++token) {
    for (std::int64_t head = 0; head < 4; ++head) {
      for (std::int64_t c = 0; c < 32; ++c) {
        double sum = 0.0;
        for (std::int64_t l = 0; l < 32; ++l) {
          sum += weight[static_cast<std::size_t>((head * 32 + c) * 32 + l)]
                 * latent[static_cast<std::size_t>(token * 32 + l)];
        }
        const std::int64_t row = token * 4 + head;
        (c < 16 ? run.k[static_cast<std::size_t>(row * 24 + c)]
                : run.v[static_cast<std::size_t>(row * 16 + c - 16)]) = sum;
      }
      for (std::int64_t c = 0; c < 8; ++c) {
        run.k[static_cast<std::size_t>((token * 4 + head) * 24 + 16 + c)] =
            rope[static_cast<std::size_t>(token * 8 + c)];
      }
    }
  }
  kernel::attend(run, {k_scale});
  SafetensorsFile file;
  file.add("q", {5, 4, 24}, run.q);
  file.add("kv_c", {80, 32}, latent);
  file.add("k_pe", {80, 8}, rope);
  file.add("kv_b_proj", {128, 32}, weight);
  file.add("out", {5, 4, 16}, run.out);
  file.add("lse", {5, 4}, run.lse);
  file.write(directory / "decode.safetensors");
  Options options;
  for (const Phase phase : {Phase::decode, Phase::prefill}) {
    options.phase = phase;
    const auto check = model.check(directory / "decode.safetensors", options);
    REQUIRE(check.has_value());
    CHECK(check->form
          == (phase == Phase::decode ? reference::Form::absorbed : reference::Form::latent));
    CHECK(check->judgement.verdict == compare::Verdict::match);
  }
}

TEST_CASE("values settle a layout that shapes leave open", "[check]") {
  // [1, 32, 2, D] of a model with 64 heads: 32 tokens of 2 heads or 2 tokens of 32.
  const TempDir directory;
  Model model;
  std::string config = k_config;
  config.replace(config.find("heads\": 4"), 9, "heads\": 64");
  model.loaded = model::load_model_text(config, "config.json");
  kernel::Run run = kernel::inputs({32, 32, 2, 16, 8, 16});
  const auto checked = [&](const std::string& without) {
    const kernel::Shape& s = run.shape;
    SafetensorsFile out;
    out.add("q", {1, s.queries, s.heads, s.nope + s.rope}, run.q);
    out.add("k", {1, s.keys, s.heads, s.nope + s.rope}, run.k);
    out.add("v", {1, s.keys, s.heads, s.v}, run.v);
    out.add("out", {1, s.queries, s.heads, s.v}, run.out);
    if (without != "lse") {
      out.add("lse", {1, s.queries, s.heads}, run.lse); // looks like [B, H, T] of 32 heads
    }
    out.write(directory / "capture.safetensors");
    return model.check(directory / "capture.safetensors");
  };
  for (const std::string without : {"", "lse"}) {
    kernel::attend(run, {k_scale});
    const auto right = checked(without);
    REQUIRE(right.has_value());
    CHECK(right->judgement.verdict == compare::Verdict::match);
    CHECK(right->capture.layout == "[B,T,H,D]");
    CHECK(right->capture.heads == 2);
    kernel::attend(run, {0.5 * k_scale});
    const auto wrong = checked(without);
    REQUIRE(wrong.has_value());
    CHECK(wrong->judgement.verdict == compare::Verdict::mismatch);
  }
}
