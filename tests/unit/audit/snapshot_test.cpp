#include "support/catch.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/audit/snapshot.hpp>
#include <mla_scale/core/file.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>

using namespace mla_scale;

namespace {

namespace fs = std::filesystem;

constexpr std::string_view k_config = R"({
  "architectures": ["DeepseekV3ForCausalLM"],
  "model_type": "deepseek_v3",
  "vocab_size": 129280,
  "rms_norm_eps": 1e-06,
  "num_attention_heads": 128,
  "q_lora_rank": 1536,
  "kv_lora_rank": 512,
  "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64,
  "v_head_dim": 128,
  "layers": [1, 2, 3],
  "rope_theta": 10000,
  "rope_scaling": {"type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                   "original_max_position_embeddings": 4096}
}
)";

audit::Audit recorded(const fs::path& path) {
  audit::Options options;
  options.record = true;
  return audit::audit(std::vector{path}, options);
}

audit::Snapshot snapshot_of(const fs::path& path) {
  return audit::take_snapshot(recorded(path));
}

std::vector<audit::Drift> drift_since(const audit::Snapshot& before, const fs::path& path) {
  return audit::compare_with_snapshot(before, recorded(path)).drift;
}

const audit::Drift& field_of(const std::vector<audit::Drift>& drift, std::string_view field) {
  const auto found = std::find_if(drift.begin(), drift.end(),
                                  [&](const audit::Drift& one) { return one.field == field; });
  REQUIRE(found != drift.end());
  return *found;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

bool names_field(const std::vector<audit::Drift>& drift, std::string_view field) {
  return std::any_of(drift.begin(), drift.end(),
                     [&](const audit::Drift& one) { return one.field == field; });
}

/// Every number below a value, with the pointer of the key that holds it (an array is one key).
void collect_numbers(const json::Value& value, const std::string& key,
                     std::vector<std::pair<std::string, Position>>& numbers) {
  if (value.is_number()) {
    numbers.emplace_back(key.empty() ? value.pointer() : key, value.position());
  }
  const std::string inner = key.empty() && value.is_array() ? value.pointer() : key;
  for (std::optional<json::Value> member = value.first(); member; member = member->next()) {
    collect_numbers(*member, inner, numbers);
  }
}

/// The text with the first digit of the number at a place changed.
std::string with_other_digit(std::string text, Position position) {
  std::size_t at = 0;
  for (std::size_t line = 1; line < position.line; ++line) {
    at = text.find('\n', at) + 1;
  }
  at += position.column - 1;
  at += text[at] == '-' ? 1U : 0U;
  text[at] = text[at] == '9' ? '8' : static_cast<char>(text[at] + 1);
  return text;
}

/// Of zoo/a/config.json with factor 32, since it had 40.
std::vector<audit::Drift> drift_of_factor_32(const TempDir& dir) {
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Snapshot before = snapshot_of(dir / "zoo");
  REQUIRE(write_file(dir / "zoo/a/config.json",
                     replaced(std::string(k_config), "\"factor\": 40", "\"factor\": 32")));
  return drift_since(before, dir / "zoo");
}

} // namespace

TEST_CASE("editing any number in any config of the zoo is drift that names its key", "[audit]") {
  const TempDir dir;
  std::size_t edits = 0;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(TESTDATA) / "zoo")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".json") || name == "snapshot.json") {
      continue;
    }
    INFO(entry.path());
    const std::string text = read_file(entry.path(), 1 << 24).value();
    const Result<json::Document> document = json::Document::parse(text, name);
    REQUIRE(document);
    std::vector<std::pair<std::string, Position>> numbers;
    collect_numbers(document->root(), "", numbers);
    fs::create_directories(dir / "zoo");
    REQUIRE(write_file(dir / "zoo/config.json", text));
    const audit::Snapshot before = snapshot_of(dir / "zoo");
    for (const auto& [key, position] : numbers) {
      INFO(key);
      std::ofstream(dir / "zoo/config.json") << with_other_digit(text, position);
      CHECK(names_field(drift_since(before, dir / "zoo"), key));
      ++edits;
    }
  }
  CHECK(edits > 500);
}

TEST_CASE("a snapshot read back equals the zoo that it was taken of, also after the zoo moved",
          "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Snapshot before = snapshot_of(dir / "zoo");
  REQUIRE(write_file(dir / "snapshot.json", audit::write_snapshot(before)));
  fs::rename(dir / "zoo", dir / "moved");
  const Result<audit::Snapshot> read = audit::read_snapshot(dir / "snapshot.json");
  REQUIRE(read);
  CHECK(read->models.front().path == "a/config.json");
  CHECK(drift_since(*read, dir / "moved").empty());
}

TEST_CASE("editing any number of a config is drift that names its key", "[audit]") {
  struct Edit {
    std::string_view from, to, field;
  };
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Snapshot before = snapshot_of(dir / "zoo");
  for (const Edit& edit :
       {Edit{"129280", "129281", "/vocab_size"}, Edit{"1e-06", "1e-05", "/rms_norm_eps"},
        Edit{"[1, 2, 3]", "[1, 2, 4]", "/layers"},
        Edit{"\"factor\": 40", "\"factor\": 41", "/rope_scaling/factor"},
        Edit{"\"kv_lora_rank\": 512", "\"kv_lora_rank\": 256", "/kv_lora_rank"}}) {
    INFO(edit.field);
    REQUIRE(
        write_file(dir / "zoo/a/config.json", replaced(std::string(k_config), edit.from, edit.to)));
    const std::vector<audit::Drift> drift = drift_since(before, dir / "zoo");
    CHECK(names_field(drift, edit.field));
  }
}

TEST_CASE("a changed factor drifts the derived scale too", "[audit]") {
  const TempDir dir;
  const std::vector<audit::Drift> drift = drift_of_factor_32(dir);
  const audit::Drift& scale = field_of(drift, "softmax_scale.prefill");
  // facts: V3 (f 40) and Kimi-K2 (f 32).
  CHECK(std::get<double>(scale.expected) == 0.1352337788608801);
  CHECK(std::get<double>(scale.actual) == 0.13086079996295005);
}

TEST_CASE("drift names the file as findings do, and where the key that drifted stands", "[audit]") {
  const TempDir dir;
  const std::vector<audit::Drift> drift = drift_of_factor_32(dir);
  // Counted by hand in k_config: line 14, and "factor" with its value after {"type": "yarn", .
  for (const std::string_view field : {"/rope_scaling/factor", "rope.factor"}) {
    INFO(field);
    const audit::Drift& factor = field_of(drift, field);
    CHECK(factor.path == (dir / "zoo/a/config.json").string());
    CHECK(factor.relative_path == "a/config.json");
    CHECK(factor.position.line == 14);
    CHECK(factor.position.column == 46);
  }
  CHECK(std::get<std::int64_t>(field_of(drift, "/rope_scaling/factor").actual) == 32);
  CHECK(field_of(drift, "softmax_scale.prefill").position.line == 0);
}

TEST_CASE("an engine that only the tool or only the snapshot knows is told, and is no drift",
          "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Audit now = recorded(dir / "zoo");
  // As an older version would have written it: without vllm, which agrees on this model, without
  // flashmla-default, which does not, and with an engine that has left the table since.
  audit::Snapshot before = audit::take_snapshot(now);
  std::erase(before.engines, "vllm");
  std::erase(before.engines, "flashmla-default");
  before.engines.emplace_back("abandoned");
  for (audit::Field& field : before.models.front().record) {
    if (field.name == "engines.agree") {
      field.value = replaced(std::get<std::string>(field.value), "vllm ", "abandoned ");
    }
  }
  std::erase_if(before.models.front().record,
                [](const audit::Field& field) { return field.name == "engines.flashmla-default"; });
  for (const bool listed : {true, false}) {
    INFO(listed); // snapshots without the list know the engines that their models name
    const audit::Comparison comparison = audit::compare_with_snapshot(before, now);
    CHECK(comparison.drift.empty());
    CHECK(comparison.engine_changes.gone == std::vector<std::string>{"abandoned"});
    for (const std::string engine : {"flashmla-default", "vllm"}) {
      const std::vector<std::string>& added = comparison.engine_changes.added;
      CHECK(std::find(added.begin(), added.end(), engine) != added.end());
    }
    before.engines.clear();
  }
}

TEST_CASE("a snapshot without a list of engines knows those that it has values of", "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Audit now = recorded(dir / "zoo");
  audit::Snapshot before = audit::take_snapshot(now);
  before.engines.clear();
  const audit::Comparison comparison = audit::compare_with_snapshot(before, now);
  CHECK(comparison.drift.empty());
  CHECK(comparison.engine_changes.added.empty());
  CHECK(comparison.engine_changes.gone.empty());
}

TEST_CASE("an engine that no longer agrees drifts in a field of its own", "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  audit::Snapshot before = snapshot_of(dir / "zoo");
  for (audit::Field& field : before.models.front().record) {
    if (field.name == "engines.agree") {
      field.value = replaced(std::get<std::string>(field.value), "vllm ", "");
    }
  }
  before.models.front().record.push_back({"engines.vllm", std::string("prefill 1")});
  const std::vector<audit::Drift> drift = drift_since(before, dir / "zoo");
  REQUIRE(drift.size() == 1);
  CHECK(drift.front().field == "engines.vllm");
  CHECK(audit::to_string(drift.front().expected) == "prefill 1");
  CHECK(audit::to_string(drift.front().actual) == "the model's own law");
}

TEST_CASE("a model that can no longer be read drifts once, not field by field", "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Snapshot before = snapshot_of(dir / "zoo");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config.substr(0, 100)));
  const std::vector<audit::Drift> drift = drift_since(before, dir / "zoo");
  REQUIRE(drift.size() == 1);
  CHECK(drift.front().field == "attention");
  CHECK(audit::to_string(drift.front().expected) == "mla");
  CHECK(audit::to_string(drift.front().actual) == "unreadable");
}

TEST_CASE("a directory that is named twice, or in other words, is audited once and does not drift",
          "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Snapshot before = snapshot_of(dir / "zoo");
  audit::Options options;
  options.record = true;
  const std::vector<fs::path> twice = {dir / "zoo", dir / "zoo/", dir / "./zoo"};
  const audit::Audit same_thrice = audit::audit(twice, options);
  CHECK(same_thrice.summary.files == 1);
  CHECK(audit::compare_with_snapshot(before, same_thrice).drift.empty());
  const std::vector<fs::path> overlapping = {dir / "zoo", dir / "zoo/../zoo/a/config.json"};
  CHECK(audit::audit(overlapping, options).summary.files == 1);
}

TEST_CASE("missing and new models are drift", "[audit]") {
  const TempDir dir;
  fs::create_directories(dir / "zoo/a");
  fs::create_directories(dir / "zoo/b");
  REQUIRE(write_file(dir / "zoo/a/config.json", k_config));
  const audit::Snapshot before = snapshot_of(dir / "zoo");
  fs::rename(dir / "zoo/a", dir / "zoo/c");
  const std::vector<audit::Drift> drift = drift_since(before, dir / "zoo");
  REQUIRE(drift.size() == 2);
  CHECK(drift[0].path == (dir / "zoo/c/config.json").string());
  CHECK(drift[0].relative_path == "c/config.json");
  CHECK(audit::to_string(drift[0].actual) == "present");
  CHECK(drift[1].path == (dir / "zoo/a/config.json").string());
  CHECK(audit::to_string(drift[1].actual) == "missing");
}

TEST_CASE("a malformed snapshot is an error with its place", "[audit]") {
  const TempDir dir;
  const auto error_of = [&](std::string_view text) {
    REQUIRE(write_file(dir / "s.json", text));
    const Result<audit::Snapshot> read = audit::read_snapshot(dir / "s.json");
    REQUIRE(!read);
    return read.error();
  };
  CHECK(error_of("{").kind == ErrorKind::syntax);
  CHECK(error_of("{\"models\": []}").kind == ErrorKind::schema);
  CHECK(error_of("{\"schema_version\": 2,\n \"models\": []}").position.line == 1);
  CHECK(error_of("{\"schema_version\": 1, \"models\": 3}").kind == ErrorKind::schema);
  CHECK(error_of("{\"schema_version\": 1,\n \"models\": [\n  {\"path\": 3}]}").position.line == 3);
  CHECK(error_of("{\"schema_version\": 1, \"models\": [\n{\"path\": \"a\", \"fields\": {\n\"x\": "
                 "[]}}]}")
            .position.line
        == 3);
  CHECK(audit::read_snapshot(dir / "none").error().kind == ErrorKind::not_found);
}
