#include "support/catch.hpp"
#include "support/sanitizer.hpp"
#include "support/temp_dir.hpp"
#include "support/tensors.hpp"

#include <mla_scale/check/check.hpp>
#include <mla_scale/model/load.hpp>
#include <mla_scale/tensor/safetensors_writer.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

using namespace mla_scale;
using namespace mla_scale::check;

namespace {

constexpr std::int64_t k_heads = 32;
constexpr std::int64_t k_keys = 28'672; // k and v of 560 MiB: more than a large capture begins with
constexpr std::int64_t k_queries = 64;

constexpr const char* k_large_config = R"({
  "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"],
  "num_attention_heads": 32, "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64, "v_head_dim": 128, "hidden_size": 64, "num_hidden_layers": 2,
  "max_position_embeddings": 163840, "rope_theta": 10000})";

/// Bytes of memory of this process that no file stands behind: RssAnon of proc(5).
std::int64_t anonymous_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) {
      return std::stoll(line.substr(8)) * 1024;
    }
  }
  return 0;
}

/// The most of it while the object lives, above what there was before.
class PeakMemory {
public:
  PeakMemory() : m_before(anonymous_memory()), m_most(m_before) {
    m_watch = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        m_most = std::max(m_most.load(), anonymous_memory());
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  [[nodiscard]] std::int64_t added() const { return m_most - m_before; }

private:
  std::int64_t m_before;
  std::atomic<std::int64_t> m_most;
  std::jthread m_watch; // last, so that it ends before what it writes to
};

std::vector<std::byte> bf16_bytes(const std::vector<double>& values) {
  std::vector<std::byte> bytes;
  for (const double value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    bytes.push_back(static_cast<std::byte>(bits >> 16U));
    bytes.push_back(static_cast<std::byte>(bits >> 24U));
  }
  return bytes;
}

/// A capture of holes that take no disk, but for q, some keys and values and an `out` that is
/// wrong everywhere.
void write_capture(const std::filesystem::path& file) {
  const std::vector<tensor::TensorPlan> plan = {
      {"q", tensor::Dtype::bf16, {k_queries, k_heads, 192}},
      {"k", tensor::Dtype::bf16, {k_keys, k_heads, 192}},
      {"v", tensor::Dtype::bf16, {k_keys, k_heads, 128}},
      {"out", tensor::Dtype::bf16, {k_queries, k_heads, 128}}};
  auto writer = tensor::SafetensorsWriter::create(file, plan, {});
  REQUIRE(writer);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::int64_t numbers = k_queries * plan[i].shape[1] * plan[i].shape[2];
    REQUIRE(writer->write(i, 0, bf16_bytes(tensors::numbers(i + 1, numbers))));
  }
  REQUIRE(writer->commit());
}

} // namespace

TEST_CASE("judging a large capture takes 768 MiB at most apart from the mapped file, on any number "
          "of threads",
          "[check][large]") {
  if (k_sanitized || anonymous_memory() == 0) {
    WARN("the memory of this process cannot be measured");
    return;
  }
  const TempDir directory;
  const auto file = directory / "large.safetensors";
  write_capture(file);
  const model::LoadedModel loaded = model::load_model_text(k_large_config, "config.json");
  const auto scale = scale::derive_softmax_scale(*loaded.config());
  REQUIRE(scale);
  const PeakMemory peak;
  Options options;
  options.diagnose = false; // it has a bound of its own, and takes a minute
  options.threads = 32;     // each of which holds something
  const auto checked = check_capture(*loaded.config(), *scale, {file}, options);
  REQUIRE(checked);
  CHECK(checked->judgement.verdict == compare::Verdict::mismatch);
  CHECK(peak.added() < (std::int64_t{768} << 20));
}
