#include "support/catch.hpp"
#include "support/kernel.hpp"
#include "support/safetensors.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/check/check.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/model/load.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

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

/// A run whose k and v follow from a latent of rank 32, `stored` as the kernel reads them; saved
/// without k and v.
struct LatentRun {
  kernel::Run run;
  std::vector<double> latent;
  std::vector<double> rope;
  std::vector<double> weight;

  LatentRun(const kernel::Shape& s, double (*stored)(double))
      : run(kernel::inputs(s)), latent(kernel::normal(31, s.keys * 32)),
        rope(kernel::normal(32, s.keys * 8)), weight(kernel::normal(33, 4 * 32 * 32, 0.18)) {
    // By the definition of kv_b_proj: for each head 16 rows of W_UK, then 16 of W_UV.
    for (std::int64_t token = 0; token < s.keys; ++token) {
      for (std::int64_t head = 0; head < 4; ++head) {
        const std::int64_t row = token * 4 + head;
        for (std::int64_t c = 0; c < 32; ++c) {
          double sum = 0.0;
          for (std::int64_t l = 0; l < 32; ++l) {
            sum += weight[static_cast<std::size_t>((head * 32 + c) * 32 + l)]
                   * latent[static_cast<std::size_t>(token * 32 + l)];
          }
          (c < 16 ? run.k[static_cast<std::size_t>(row * 24 + c)]
                  : run.v[static_cast<std::size_t>(row * 16 + c - 16)]) = stored(sum);
        }
        for (std::int64_t c = 0; c < 8; ++c) {
          run.k[static_cast<std::size_t>(row * 24 + 16 + c)] =
              rope[static_cast<std::size_t>(token * 8 + c)];
        }
      }
    }
  }

  /// Of the unscaled logits that a causal mask shows the row.
  [[nodiscard]] double largest_product(std::int64_t row, std::int64_t head) const {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::int64_t key = 0; key <= row + run.shape.keys - run.shape.queries; ++key) {
      double product = 0.0;
      for (std::int64_t c = 0; c < 24; ++c) {
        product += run.q[static_cast<std::size_t>((row * 4 + head) * 24 + c)]
                   * run.k[static_cast<std::size_t>((key * 4 + head) * 24 + c)];
      }
      largest = std::max(largest, product);
    }
    return largest;
  }

  void save(const std::filesystem::path& path) const {
    const kernel::Shape& s = run.shape;
    SafetensorsFile file;
    file.add("q", {s.queries, 4, 24}, run.q);
    file.add("kv_c", {s.keys, 32}, latent);
    file.add("k_pe", {s.keys, 8}, rope);
    file.add("kv_b_proj", {128, 32}, weight);
    file.add("out", {s.queries, 4, 16}, run.out);
    file.add("lse", {s.queries, 4}, run.lse);
    file.write(path);
  }
};

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
  // Each said once; and what is there is not called missing.
  const auto without_outputs = model.check(directory / "part.safetensors");
  CHECK(without_outputs->judgement.reasons
        == std::vector<std::string>{"the capture has neither out nor lse"});
  CHECK(without_outputs->judgement.advice.size() == 1);
  save(run, directory / "part.safetensors", "q");
  CHECK(model.check(directory / "part.safetensors")->judgement.tensors.empty());
  save(run, directory / "part.safetensors", "q lse");
  const auto without_lse = model.check(directory / "part.safetensors");
  REQUIRE(without_lse->judgement.tensors.size() == 1);
  CHECK(without_lse->judgement.tensors.front().name == "lse");
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
  LatentRun latent({5, 80, 4, 16, 8, 16}, kernel::exact);
  kernel::attend(latent.run, {k_scale});
  latent.save(directory / "decode.safetensors");
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

TEST_CASE("k and v stored in bf16 are no rounded logits, and hide no wrong lse", "[check]") {
  // The capture holds the latent; the kernel read k and v that were computed from it and stored.
  const TempDir directory;
  const Model model;
  LatentRun latent({96, 96, 4, 16, 8, 16}, kernel::to_bf16);
  kernel::attend(latent.run, {k_scale});
  latent.save(directory / "latent.safetensors");
  const auto healthy = model.check(directory / "latent.safetensors");
  REQUIRE(healthy.has_value());
  CHECK(healthy->form == reference::Form::latent);
  CHECK(healthy->judgement.verdict == compare::Verdict::match);
  for (const std::string& note : healthy->judgement.notes) {
    CHECK_FALSE(note.starts_with("precision."));
  }
  CHECK(healthy->diagnosis.notes.empty());

  // The maximum exported with 24^-1/2, as TensorRT-LLM #19112; and without a scale, which makes of
  // the rounding of one key more than all of a healthy lse has.
  double exported = k_scale;
  for (const double scale : {std::pow(24.0, -0.5), 1.0, 4.0}) {
    for (std::int64_t row = 0; row < 96; ++row) {
      for (std::int64_t head = 0; head < 4; ++head) {
        latent.run.lse_at(row, head) += (scale - exported) * latent.largest_product(row, head);
      }
    }
    exported = scale;
    latent.save(directory / "export.safetensors");
    const auto wrong = model.check(directory / "export.safetensors");
    REQUIRE(wrong.has_value());
    INFO("exported with " << scale);
    CHECK(wrong->judgement.verdict == compare::Verdict::mismatch);
    REQUIRE(!wrong->diagnosis.findings.empty());
    CHECK(wrong->diagnosis.findings.front().id == "lse.max_export");
  }
}

TEST_CASE("a model whose attention is no MLA is refused by the name of what it has", "[check]") {
  const auto text = read_file(TESTDATA "/zoo/deepseek-ai--DeepSeek-V4-Flash/config.json", 1 << 20);
  REQUIRE(text);
  const auto loaded = model::load_model_text(*text, "config.json");
  const auto scale = scale::derive_softmax_scale(*loaded.config());
  REQUIRE(scale);
  const auto check = check_capture(*loaded.config(), *scale, {"none.safetensors"}, {});
  REQUIRE(!check);
  CHECK(check.error().kind == ErrorKind::unsupported);
  CHECK(check.error().message.find("one K = V head shared by all queries (DeepSeek V4 style)")
        != std::string::npos);
}

TEST_CASE("a mismatch says what it was, or that nothing explains it", "[check]") {
  const TempDir directory;
  const Model model;
  kernel::Run run = kernel::inputs(k_shape);
  kernel::Kernel kernel{k_scale};
  kernel.probability = kernel::exact;
  kernel.output = kernel::to_f32;
  kernel::attend(run, kernel);
  save(run, directory / "right.safetensors");
  for (const double off : {2e-6, 5e-6, 1e-5, 2e-5, 1e-4}) {
    Options options;
    options.softmax_scale = k_scale * (1.0 + off);
    const auto check = model.check(directory / "right.safetensors", options);
    REQUIRE(check.has_value());
    INFO("off by " << off << ", " << to_string(check->judgement.verdict));
    if (check->judgement.verdict == compare::Verdict::mismatch) {
      CHECK((!check->diagnosis.findings.empty() || !check->diagnosis.unexplained.empty()));
    }
    if (!check->diagnosis.findings.empty()) {
      CHECK(check->diagnosis.findings.front().id == "scale.other");
    }
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

TEST_CASE("decode without its last key is seen by its pattern where rounding could be as large") {
  // Of many keys one more or less hardly counts, and a kernel may round q · W_UK, or the logits.
  const Model model;
  const TempDir directory;
  Options decode;
  decode.phase = Phase::decode;
  for (const auto& [rows, keys] : {std::pair{2, 304}, {4, 504}, {4, 2004}, {8, 2004}}) {
    for (const std::int64_t missing : {0, 1}) {
      INFO(rows << " rows, " << keys << " keys, " << missing << " missing");
      LatentRun run({rows, keys, 4, 16, 8, 16}, kernel::exact);
      kernel::Kernel kernel{k_scale};
      kernel.probability = kernel::exact;
      kernel.visible = [missing](std::int64_t, std::int64_t n) { return n - missing; };
      kernel::attend(run.run, kernel);
      run.save(directory / "decode.safetensors");
      const auto check = model.check(directory / "decode.safetensors", decode);
      REQUIRE(check);
      CHECK(check->judgement.verdict
            == (missing == 0 ? compare::Verdict::match : compare::Verdict::mismatch));
      REQUIRE(check->diagnosis.findings.size() == static_cast<std::size_t>(missing));
      for (const diagnose::Finding& finding : check->diagnosis.findings) {
        CHECK(finding.id == "mask.off_by_one_short");
      }
    }
  }
}
