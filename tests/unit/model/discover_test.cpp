#include "support/catch.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/model/load.hpp>

#include <sys/stat.h>

using namespace mla_scale;
using namespace mla_scale::model;

namespace {

constexpr const char* k_config =
    R"({"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"]})";

void put(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  REQUIRE(write_file(path, text));
}

std::vector<std::string> sources(const std::filesystem::path& path) {
  const auto files = find_model_files(path);
  REQUIRE(files);
  std::vector<std::string> names;
  for (const ModelFile& file : *files) {
    names.push_back(std::filesystem::relative(file.source, path).string());
  }
  return names;
}

} // namespace

TEST_CASE("a directory with model files is a model, and its tokenizer and weights are passed over",
          "[model]") {
  const TempDir dir;
  put(dir / "config.json", k_config);
  put(dir / "params.json", k_config);
  put(dir / "config_16B.json", R"({"dim": 2048, "n_heads": 16, "kv_lora_rank": 512})");
  put(dir / "tokenizer.json", k_config);
  put(dir / "generation_config.json", k_config);
  put(dir / "model.safetensors.index.json", k_config);
  put(dir / "notes.json", R"({"hello": 1})");
  put(dir / "model-00001-of-00002.safetensors", "weights");
  put(dir / "inference/config_671B.json", R"({"dim": 7168, "n_heads": 128, "kv_lora_rank": 512})");
  CHECK(sources(dir.path())
        == std::vector<std::string>{"config.json", "config_16B.json", "params.json"});
}

TEST_CASE("a directory of models is walked in the order of names", "[model]") {
  const TempDir dir;
  put(dir / "b/config.json", k_config);
  put(dir / "a/x/config.json", k_config);
  put(dir / ".git/config.json", k_config);
  CHECK(sources(dir.path()) == std::vector<std::string>{"a/x/config.json", "b/config.json"});
}

TEST_CASE("links in a circle end, and each directory is read once", "[model]") {
  const TempDir dir;
  put(dir / "a/config.json", k_config);
  std::filesystem::create_directory_symlink(dir.path(), dir / "loop");
  std::filesystem::create_directory_symlink(dir / "a", dir / "z");
  CHECK(sources(dir.path()) == std::vector<std::string>{"a/config.json"});
}

TEST_CASE("only the first shard of a split GGUF counts", "[model]") {
  const TempDir dir;
  put(dir / "m-00001-of-00003.gguf", "GGUF");
  put(dir / "m-00002-of-00003.gguf", "GGUF");
  put(dir / "m-00003-of-00003.gguf", "GGUF");
  CHECK(sources(dir.path()) == std::vector<std::string>{"m-00001-of-00003.gguf"});
  const auto later = find_model_files(dir / "m-00003-of-00003.gguf");
  REQUIRE(later);
  CHECK(later->front().source == (dir / "m-00001-of-00003.gguf"));
}

TEST_CASE("FIFOs and missing files are errors that name the path", "[model]") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "config.json").c_str(), 0600) == 0);
  const LoadedModel model =
      load_model({(dir / "config.json").string(), (dir / "config.json").string()});
  REQUIRE(model.error() != nullptr);
  CHECK(model.error()->message == "is not a regular file");
  CHECK(find_model_files(dir / "none").error().kind == ErrorKind::not_found);
}

TEST_CASE("a link names no model that is there without it, wherever it stands", "[model]") {
  const TempDir dir;
  const TempDir elsewhere;
  put(dir / "m/model/config.json", k_config);
  put(elsewhere / "config.json", k_config);
  std::filesystem::create_directories(dir / "b");
  std::filesystem::create_directory_symlink(dir / "m/model", dir / "b/link");
  std::filesystem::create_directory_symlink(elsewhere.path(), dir / "c");
  const auto found = find_model_files(dir.path());
  REQUIRE(found);
  REQUIRE(found->size() == 2);
  CHECK(found->at(0).path == (dir / "c").string());
  CHECK(found->at(1).path == (dir / "m/model").string());
}
