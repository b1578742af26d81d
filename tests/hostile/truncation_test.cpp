// Every input format cut after every byte, given to the real binary. The zip formats are cut here
// and there, and after every byte in the unit tests of their reader.

#include "support.hpp"
#include "support/gguf_builder.hpp"
#include "support/sanitizer.hpp"

using namespace hostile;

namespace {

const std::string k_config = R"({"model_type":"deepseek_v3","num_attention_heads":4,"q_lora_rank":8,
"kv_lora_rank":16,"qk_nope_head_dim":8,"qk_rope_head_dim":4,"v_head_dim":8,"hidden_size":64,
"rope_scaling":{"type":"yarn","factor":4.0,"mscale":1.0,"mscale_all_dim":1.0}}
)";

/// Cuts `content` after each byte and expects exit 3 and one line, or what the whole file gives:
/// JSON without its last newline is whole.
void cut_everywhere(const TempDir& directory, const std::string& name, const std::string& content,
                    const std::string& command, std::size_t step = 1) {
  const fs::path path = directory / name;
  write(path, content);
  const ProcessResult whole = shell(directory.path(), "exec \"$MLA\" " + command);
  INFO(name << ": " << whole.err);
  REQUIRE(whole.exit_code != 3);
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < content.size(); size += k_sanitized ? step * 16 + 1 : step) {
    write(path, content.substr(0, size));
    const ProcessResult cut =
        run_process("/bin/sh", {"-c", "exec \"$MLA\" " + command}, directory.path().string(), {},
                    {{"MLA", BINARY}, {"MODEL", k_model}, {"COLUMNS", "80"}});
    INFO(name << " cut to " << size << " bytes: " << cut.err);
    if (cut.exit_code == whole.exit_code && cut.out == whole.out) {
      ++accepted;
      continue;
    }
    CHECK(cut.exit_code == 3);
    CHECK(line_count(cut.err) == 1);
  }
  CHECK(accepted <= 1);
}

std::string of_formats(const std::string& name) {
  return slurp(fs::path(PROJECT) / "testdata/captures/formats" / name);
}

} // namespace

TEST_CASE("a config cut after any byte is refused in one line", "[hostile]") {
  const TempDir directory;
  cut_everywhere(directory, "config.json", k_config, "inspect config.json");
  cut_everywhere(directory, "params.json", R"({"dim":64,"n_heads":4,"norm_eps":1e-6,"q_lora_rank":8,
"kv_lora_rank":16,"qk_nope_head_dim":8,"qk_rope_head_dim":4,"v_head_dim":8,"yarn":{"factor":4,
"original_max_position_embeddings":4096,"alpha":1,"beta":32,"apply_scale":true}})",
                 "inspect params.json");
}

TEST_CASE("a GGUF cut after any byte is refused in one line", "[hostile]") {
  const TempDir directory;
  const std::string gguf = GgufBuilder()
                               .text("general.architecture", "deepseek2")
                               .u32("deepseek2.attention.head_count", 4)
                               .u32("deepseek2.attention.head_count_kv", 1)
                               .u32("deepseek2.attention.q_lora_rank", 8)
                               .u32("deepseek2.attention.kv_lora_rank", 16)
                               .u32("deepseek2.attention.key_length_mla", 12)
                               .u32("deepseek2.attention.value_length_mla", 8)
                               .u32("deepseek2.rope.dimension_count", 4)
                               .strings("tokenizer.ggml.tokens", 3)
                               .f32("deepseek2.rope.freq_base", 10000.0F)
                               .bytes();
  cut_everywhere(directory, "model.gguf", gguf, "inspect model.gguf");
}

TEST_CASE("a snapshot and a baseline cut after any byte are refused in one line", "[hostile]") {
  const TempDir directory;
  write(directory / "config.json", k_config);
  REQUIRE(shell(directory.path(), "exec \"$MLA\" audit config.json --snapshot whole --bless "
                                  "--fail-on never")
              .exit_code
          == 0);
  const std::string whole = slurp(directory / "whole");
  cut_everywhere(directory, "snapshot", whole,
                 "audit config.json --fail-on never --snapshot snapshot", whole.size() / 200 + 1);
  cut_everywhere(directory, "baseline",
                 R"({"schema_version": 1, "accepted": [{"rule": "MLA101", "path": "config.json",
"pointer": "/rope_scaling", "reason": "known", "expires": "2026-12-31"}]}
)",
                 "audit config.json --fail-on never --today 2026-01-01 --baseline baseline");
}

TEST_CASE("a capture cut after any byte is refused in one line", "[hostile]") {
  const TempDir directory;
  // The model that testdata/captures/formats was made for.
  write(directory / "tiny.json", R"({"model_type":"deepseek_v3","num_attention_heads":2,
"kv_lora_rank":8,"qk_nope_head_dim":4,"qk_rope_head_dim":2,"v_head_dim":3})");
  cut_everywhere(directory, "out.npy", of_formats("out.npy"), "check tiny.json out.npy");
  cut_everywhere(directory, "out.pt", of_formats("out.pt"), "check tiny.json out.pt", 7);
  cut_everywhere(directory, "stored.npz", of_formats("stored.npz"), "check tiny.json stored.npz",
                 23);
  const std::string header = R"({"extra":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";
  cut_everywhere(directory, "extra.safetensors",
                 std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header
                     + std::string(16, '\0'),
                 "check \"$MODEL\" extra.safetensors");
}
