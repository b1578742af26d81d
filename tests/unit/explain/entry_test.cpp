#include "support/catch.hpp"

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/engines/engine_rule.hpp>
#include <mla_scale/explain/entry.hpp>
#include <mla_scale/model/family.hpp>
#include <mla_scale/scale/law.hpp>

#include <algorithm>
#include <set>

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

TEST_CASE("a rule is found by its slug, a slip is answered with what was meant", "[explain]") {
  REQUIRE(explain::find_entry("mscale-keys-differ") != nullptr);
  CHECK(explain::find_entry("mscale-keys-differ")->id == "MLA303");
  CHECK(explain::find_entry("nonsense") == nullptr);
  CHECK(explain::nearest_entry("sofmax-scale") == "softmax-scale");
  CHECK(explain::nearest_entry("scale.latent_with") == "scale.latent_width");
  CHECK(explain::nearest_entry("qqqqqqqqqqqq").empty());
}
