#include "support/catch.hpp"

#include <mla_scale/compare/judge.hpp>
#include <mla_scale/core/file.hpp>
#include <mla_scale/json/document.hpp>

#include <filesystem>
#include <string>

using namespace mla_scale;
using namespace mla_scale::compare;

TEST_CASE("real captures from a GPU are judged right, healthy and broken ones", "[dumps]") {
  const std::filesystem::path dumps = DUMPS;
  if (!std::filesystem::exists(dumps / "truth.json")) {
    WARN("no captures at " << dumps << ": nothing tested");
    return;
  }
  auto text = read_file(dumps / "truth.json", std::size_t{1} << 20U);
  REQUIRE(text.has_value());
  const auto document = json::Document::parse(*text, "truth.json");
  REQUIRE(document.has_value());
  for (auto entry = document->root().first(); entry; entry = entry->next()) {
    const std::string file(*entry->find("file")->as_string());
    const std::string inputs(*entry->find("inputs")->as_string());
    const bool healthy = *entry->find("bug")->as_string() == "healthy";
    const double scale = *entry->find("scale_ref")->as_number();
    const bool lite = *entry->find("config")->as_string() == "v2lite";
    const auto capture =
        tensor::read_capture({dumps / inputs, dumps / file}, {lite ? 16 : 128, 512, 128, 64, 128});
    REQUIRE(capture.has_value());
    for (const auto form : {reference::Form::expanded, reference::Form::latent}) {
      const auto problem = reference::make_problem(*capture, form, scale, 64);
      REQUIRE(problem.has_value());
      const auto judgement = judge(*problem, *capture);
      REQUIRE(judgement.has_value());
      INFO(file << " from " << to_string(form));
      CHECK(judgement->verdict == (healthy ? Verdict::match : Verdict::mismatch));
      if (entry->find("scale")) {
        REQUIRE(judgement->fit.has_value());
        CHECK(judgement->fit->softmax_scale
              == Approx(*entry->find("scale")->as_number()).epsilon(2e-3));
      }
    }
  }
}
