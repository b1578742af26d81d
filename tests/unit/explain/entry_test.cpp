#include "support/catch.hpp"

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/engines/engine_rule.hpp>
#include <mla_scale/explain/entry.hpp>
#include <mla_scale/model/family.hpp>
#include <mla_scale/scale/law.hpp>

#include <algorithm>
#include <set>
#include <sstream>

using namespace mla_scale;

TEST_CASE("every row of every table has one explanation", "[explain]") {
  std::set<std::string> ids;
  for (const explain::Entry& entry : explain::entries()) {
    INFO(entry.id);
    CHECK(ids.insert(entry.id).second);
    CHECK(!entry.title.empty());
    CHECK(!entry.sections.empty());
  }
  const std::size_t rows = audit::rules().size() + engines::engine_rules().size()
                           + model::families().size() + scale::laws().size()
                           + diagnose::hypotheses().size();
  CHECK(ids.size() == rows);
}

TEST_CASE("every explanation names its sources", "[explain]") {
  for (const explain::Entry& entry : explain::entries()) {
    INFO(entry.id);
    const auto has_sources = [](const explain::Section& section) {
      return section.label.starts_with("source");
    };
    CHECK(std::any_of(entry.sections.begin(), entry.sections.end(), has_sources));
  }
}

TEST_CASE("a word of the reports or of a config finds the law behind it", "[explain]") {
  REQUIRE(explain::find_entry("mscale_all_dim") != nullptr);
  CHECK(explain::find_entry("mscale_all_dim")->id == "yarn-magnitude");
  CHECK(explain::find_entry("g")->id == "yarn-magnitude"); // as inspect calls it
  CHECK(explain::find_entry("decode")->id == "absorbed-decode");
  CHECK(explain::find_entry("mscal") == nullptr);
  CHECK(explain::find_entry("") == nullptr);
  std::set<std::string> words;
  for (const scale::Law& law : scale::laws()) {
    std::istringstream all{std::string(law.words)};
    for (std::string word; all >> word;) {
      INFO(word);
      CHECK(words.insert(word).second);
      CHECK(explain::find_entry(word)->id == law.id);
    }
  }
}

TEST_CASE("a rule is found by its slug, a slip is answered with what was meant", "[explain]") {
  REQUIRE(explain::find_entry("mscale-keys-differ") != nullptr);
  CHECK(explain::find_entry("mscale-keys-differ")->id == "MLA303");
  CHECK(explain::find_entry("nonsense") == nullptr);
  CHECK(explain::nearest_entry("sofmax-scale") == "softmax-scale");
  CHECK(explain::nearest_entry("scale.latent_with") == "scale.latent_width");
  CHECK(explain::nearest_entry("scale.latent") == "scale.latent_width");
  CHECK(explain::nearest_entry("qqqqqqqqqqqq").empty());
}
