// Every rule has a fixture that it alone speaks up about and a near-miss on which it is silent:
// testdata/rules/<ID>/{bad,good}*. The fixtures are made by hand from the facts that the rule's
// sources name.

#include "support/catch.hpp"

#include <mla_scale/audit/audit.hpp>
#include <mla_scale/audit/check.hpp>
#include <mla_scale/audit/rule.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

using namespace mla_scale;

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> fixtures(std::string_view id, const std::string& which) {
  std::vector<fs::path> found;
  const fs::path directory = fs::path(TESTDATA) / "rules" / std::string(id);
  if (fs::exists(directory)) {
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (entry.path().filename().string().starts_with(which)) {
        found.push_back(entry.path());
      }
    }
  }
  return found;
}

std::set<std::string> ids_found_in(const fs::path& path) {
  std::set<std::string> ids;
  for (const audit::Finding& finding : audit::audit(std::vector{path}, {}).findings) {
    ids.insert(finding.id);
  }
  return ids;
}

} // namespace

TEST_CASE("there are at least 40 rules, each with a unique id and slug and a documentation",
          "[audit]") {
  std::set<std::string_view> ids;
  std::set<std::string_view> slugs;
  for (const audit::Rule& rule : audit::rules()) {
    INFO(rule.id);
    CHECK(ids.insert(rule.id).second);
    CHECK(slugs.insert(rule.slug).second);
    CHECK(rule.id.size() == 6);
    CHECK(rule.id.starts_with("MLA"));
    for (const std::string_view text :
         {rule.title, rule.why, rule.example, rule.action, rule.sources}) {
      CHECK(text.size() > 5);
    }
    const bool read_elsewhere = rule.id[3] == '4' || rule.id[3] == '9';
    CHECK((rule.check == nullptr) == read_elsewhere);
  }
  CHECK(ids.size() >= 40);
}

TEST_CASE("each rule's bad fixture gives this finding and no other", "[audit]") {
  for (const audit::Rule& rule : audit::rules()) {
    INFO(rule.id);
    const std::vector<fs::path> bad = fixtures(rule.id, "bad");
    CHECK(!bad.empty());
    for (const fs::path& path : bad) {
      const std::set<std::string> ids = ids_found_in(path);
      CHECK(ids.contains(std::string(rule.id)));
      for (const std::string& id : ids) {
        INFO("also " << id);
        CHECK(id == rule.id);
      }
    }
  }
}

TEST_CASE("each rule is silent on its near-miss", "[audit]") {
  for (const audit::Rule& rule : audit::rules()) {
    INFO(rule.id);
    const std::vector<fs::path> good = fixtures(rule.id, "good");
    CHECK(!good.empty());
    for (const fs::path& path : good) {
      CHECK(!ids_found_in(path).contains(std::string(rule.id)));
    }
  }
}

TEST_CASE("one fault is one finding", "[audit]") {
  const auto ids = [](const std::string& rope) {
    const std::string json =
        R"({"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
            "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128,
            "num_key_value_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
            "max_position_embeddings": 163840, "rope_theta": 10000, "rope_scaling": {)"
        + rope + "}}";
    const model::LoadedModel loaded = model::load_model_text(json, "config.json");
    REQUIRE(loaded.config() != nullptr);
    std::set<std::string> found;
    for (const audit::Finding& finding : audit::check_config(*loaded.config())) {
      if (finding.severity != audit::Severity::note) {
        found.insert(finding.id);
      }
    }
    return found;
  };
  const auto only = [](const char* id) { return std::set<std::string>{id}; };
  const std::string rest = R"(, "factor": 40, "original_max_position_embeddings": 4096,
                              "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, )";
  const std::string all_dim = R"("mscale_all_dim": 1.0)";
  CHECK(ids(R"("type": "yran", "rope_type": "yran")" + rest + all_dim) == only("MLA207"));
  CHECK(ids(R"("type": "yarn", "rope_type": "linear")" + rest + all_dim) == only("MLA201"));
  CHECK(ids(R"("type": "yarn", "rope_type": "default")" + rest + all_dim) == only("MLA201"));
  CHECK(ids(R"("type": "yarn", "rope_type": "yarn")" + rest + R"("msclae_all_dim": 1.0)")
        == only("MLA208"));
  const std::string yarn = R"("type": "yarn", "rope_type": "yarn")";
  for (const std::string& misspelt :
       {R"("facotr": 40, "original_max_position_embeddings": 4096, "mscale": 1.0, )" + all_dim,
        R"("factor": 40, "orginal_max_position_embeddings": 4096, "mscale": 1.0, )" + all_dim,
        R"("factor": 40, "original_max_position_embeddings": 4096, "mscal": 1.0, )" + all_dim}) {
    INFO(misspelt);
    CHECK(ids(yarn + ", " + misspelt) == only("MLA208"));
  }
  CHECK(ids(R"("tpye": "yarn")" + rest + all_dim) == only("MLA208"));
  CHECK(ids(yarn + rest + R"("mscale_all_dim": -1.0)") == only("MLA312"));
  CHECK(ids(yarn
            + R"(, "factor": 163840, "original_max_position_embeddings": 4096, "mscale": 1.0, )"
            + all_dim)
        == only("MLA313"));
  CHECK(
      ids(R"("type": "dynamic", "rope_type": "dynamic", "original_max_position_embeddings": 4096, )"
          + all_dim)
      == only("MLA220"));
  std::string list = "[1";
  for (int i = 1; i < 32; ++i) {
    list += ", 1";
  }
  list += "]";
  CHECK(
      ids(R"("type": "longrope", "rope_type": "longrope", "original_max_position_embeddings": 4096,
               "mscale_all_dim": 1.0, "short_factor": )"
          + list + R"(, "long_factor": )" + list)
      == only("MLA221"));
}

TEST_CASE("an engine that does not know the model fails at its model_type, not at its rope",
          "[audit]") {
  const auto place_of_failure = [](const std::string& model_type) {
    const model::LoadedModel loaded =
        model::load_model_text("{" + model_type + R"("architectures": ["BailingMoeV3ForCausalLM"],
  "num_attention_heads": 16, "kv_lora_rank": 512, "rope_scaling": null})",
                               "config.json");
    REQUIRE(loaded.config() != nullptr);
    for (const audit::Finding& finding : audit::check_config(*loaded.config())) {
      if (finding.id == "MLA331") {
        return fmt::format("{}:{} {}", finding.position.line, finding.position.column,
                           finding.pointer);
      }
    }
    return std::string("no finding");
  };
  CHECK(place_of_failure("\n  \"model_type\": \"bailing_hybrid\", ") == "2:17 /model_type");
  CHECK(place_of_failure("") == "1:1 /model_type");
}

TEST_CASE("a negative beta is not taken for a zero", "[audit]") {
  const fs::path path = fs::path(TESTDATA) / "rules/MLA229/bad-negative.json";
  const audit::Audit result = audit::audit(std::vector{path}, {});
  REQUIRE(result.findings.size() == 1);
  CHECK(result.findings.front().message.find("negative number") != std::string::npos);
  CHECK(result.findings.front().message.find("original / 0") == std::string::npos);
}

TEST_CASE("there is no fixture without a rule", "[audit]") {
  for (const auto& entry : fs::directory_iterator(fs::path(TESTDATA) / "rules")) {
    if (entry.is_directory()) {
      INFO(entry.path().filename());
      CHECK(audit::find_rule(entry.path().filename().string()) != nullptr);
    }
  }
}

TEST_CASE("a finding says the file, the place and the key", "[audit]") {
  const fs::path path = fs::path(TESTDATA) / "rules/MLA303/bad.json";
  const audit::Audit result = audit::audit(std::vector{path}, {});
  REQUIRE(result.findings.size() == 1);
  const audit::Finding& finding = result.findings.front();
  CHECK(finding.path == path.string());
  CHECK(finding.relative_path == "bad.json");
  CHECK(finding.pointer == "/rope_scaling/mscale");
  // By hand: the line of "mscale" in the fixture, and the column of its value.
  CHECK(finding.position.line == 22);
  CHECK(finding.position.column == 15);
  // (0.1 * 0.707 * ln 40 + 1)^2 and (0.1 * ln 40 + 1)^2 by a pocket calculator.
  CHECK(finding.message.find("1.59") != std::string::npos);
  CHECK(finding.message.find("1.874") != std::string::npos);
}

TEST_CASE("select and ignore take ids, beginnings of ids and slugs; broken input is never lost by "
          "accident",
          "[audit]") {
  const fs::path rules = fs::path(TESTDATA) / "rules";
  const auto count = [&](const fs::path& path, audit::RuleFilter filter) {
    audit::Options options;
    options.filter = std::move(filter);
    return audit::audit(std::vector{path}, options).findings.size();
  };
  const fs::path bad = rules / "MLA303/bad.json";
  CHECK(count(bad, {{"MLA303"}, {}}) == 1);
  CHECK(count(bad, {{"MLA3"}, {}}) == 1);
  CHECK(count(bad, {{"mscale-keys-differ"}, {}}) == 1);
  CHECK(count(bad, {{"MLA2"}, {}}) == 0);
  CHECK(count(bad, {{"MLA3"}, {"MLA303"}}) == 0);
  CHECK(count(rules / "MLA902/bad.json", {{"MLA2"}, {}}) == 1);
  CHECK(count(rules / "MLA902/bad.json", {{}, {"MLA9"}}) == 0);
  CHECK(audit::names_a_rule("MLA2"));
  CHECK(!audit::names_a_rule("MLA777"));
}

TEST_CASE("the number of threads does not change the result", "[audit]") {
  const fs::path zoo = fs::path(TESTDATA) / "rules";
  audit::Options one;
  one.threads = 1;
  audit::Options many;
  many.threads = 7;
  const audit::Audit first = audit::audit(std::vector{zoo}, one);
  const audit::Audit second = audit::audit(std::vector{zoo}, many);
  REQUIRE(first.findings.size() == second.findings.size());
  for (std::size_t i = 0; i < first.findings.size(); ++i) {
    CHECK(first.findings[i].id == second.findings[i].id);
    CHECK(first.findings[i].path == second.findings[i].path);
    CHECK(first.findings[i].message == second.findings[i].message);
  }
}

TEST_CASE("published models give no error", "[audit]") {
  const fs::path zoo = fs::path(TESTDATA) / "zoo";
  if (!fs::exists(zoo)) {
    return;
  }
  for (const audit::Finding& finding : audit::audit(std::vector{zoo}, {}).findings) {
    INFO(finding.relative_path << " " << finding.id << " " << finding.message);
    CHECK(finding.severity != audit::Severity::error);
  }
}
