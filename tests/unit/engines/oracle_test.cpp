// Expected values: transformers 5.17.0 itself, executed on these configs (testdata/engines).
#include <mla_scale/core/file.hpp>
#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/model/load.hpp>

#include <string_view>
#include <support/catch.hpp>

using namespace mla_scale;

namespace {

/// Values that our reader of configs refuses before any engine is asked: a factor that is a string
/// and an mscale_all_dim that is a boolean.
bool refused_by_reader(std::string_view name) {
  return name.ends_with("/string_factor") || name.ends_with("/mscale_true");
}

json::Document oracle() {
  Result<std::string> text = read_file(TESTDATA "/engines/transformers-5.17.json", 1 << 20);
  REQUIRE(text);
  Result<json::Document> document = json::Document::parse(*std::move(text), "oracle");
  REQUIRE(document);
  return *std::move(document);
}

} // namespace

TEST_CASE("The transformers row gives what transformers 5.17.0 gave when it was executed") {
  const json::Document document = oracle();
  const engines::EngineRule* rule = engines::find_engine_rule("transformers");
  REQUIRE(rule != nullptr);
  int compared = 0;
  for (auto run = document.root().find("runs")->first(); run; run = run->next()) {
    const std::string name(run->find("case")->as_string().value());
    INFO(name);
    const model::LoadedModel loaded =
        model::load_model_text(std::string(run->find("config")->as_string().value()), name);
    if (refused_by_reader(name)) {
      CHECK(loaded.error() != nullptr);
      continue;
    }
    REQUIRE(loaded.config() != nullptr);
    const engines::EngineValue value = engines::evaluate(*rule, *loaded.config(), nullptr);
    ++compared;
    if (const auto error = run->find("error")) {
      CHECK(value.error == error->as_string().value());
      CHECK_FALSE(value.prefill);
      CHECK_FALSE(value.decode);
      continue;
    }
    CHECK(value.error.empty());
    REQUIRE(value.prefill);
    REQUIRE(value.cos_sin_factor);
    CHECK(*value.prefill == Approx(run->find("scaling")->as_number().value()).epsilon(1e-12));
    CHECK(*value.decode == *value.prefill);
    CHECK(*value.cos_sin_factor
          == Approx(run->find("attention_scaling")->as_number().value()).epsilon(1e-12));
  }
  CHECK(compared == 68);
}

TEST_CASE("The transformers row gives what transformers 5.17.0 gave for published configs") {
  const json::Document document = oracle();
  const engines::EngineRule* rule = engines::find_engine_rule("transformers");
  REQUIRE(rule != nullptr);
  int compared = 0;
  for (auto row = document.root().find("zoo")->first(); row; row = row->next()) {
    const std::string file(row->find("file")->as_string().value());
    INFO(file);
    const std::string path = TESTDATA "/zoo/" + file;
    const model::LoadedModel loaded = model::load_model({path, path});
    REQUIRE(loaded.config() != nullptr);
    const engines::EngineValue value = engines::evaluate(*rule, *loaded.config(), nullptr);
    ++compared;
    if (const auto error = row->find("error")) {
      CHECK(value.error == error->as_string().value());
      continue;
    }
    REQUIRE(value.prefill);
    CHECK(*value.prefill == Approx(row->find("scaling")->as_number().value()).epsilon(1e-12));
    CHECK(*value.decode == *value.prefill);
    if (const auto rotation = row->find("attention_scaling"); !rotation->is_null()) {
      REQUIRE(value.cos_sin_factor);
      CHECK(*value.cos_sin_factor == Approx(rotation->as_number().value()).epsilon(1e-12));
    }
  }
  CHECK(compared == 10);
}
