#include "diagnosed.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <support/catch.hpp>
#include <vector>

// Answers that hang on few rows, on small effects, or that more than one bug gives.

using namespace mla_scale;
using namespace simulator;

TEST_CASE("bugs that do the same to every row are all named") {
  // Of two rows the last sees all keys anyway, the first one key more: no mask, or one too long.
  Settings settings;
  settings.queries = 2;
  settings.heads = 16;
  for (const std::int64_t prefix : {0, 24}) {
    settings.prefix = prefix;
    const auto report = diagnosed(simulate(settings, "mask.none"));
    CHECK(all_of(report) == std::vector<std::string>{"mask.none", "mask.off_by_one_long"});
  }
}

TEST_CASE("a mask that hides all keys of most rows is named by the others") {
  for (const char* bug : {"mask.moved:-30", "mask.moved:-40"}) { // of 48 rows
    const auto report = diagnosed(simulate({}, bug));
    INFO(bug << ": " << report.unexplained);
    const auto ids = all_of(report);
    CHECK(std::find(ids.begin(), ids.end(), "mask.off_by_one_short") != ids.end());
  }
}

TEST_CASE("scales that a poor fit does not tell apart are all named, those that a good one does "
          "are not") {
  // 512^-1/2 · m² is 2.7 % below 192^-1/2: some two standard errors of a fit to nearly flat logits.
  Settings settings = nearly_flat_deepseek_v2();
  CHECK(all_of(diagnosed(simulate(settings, "scale.mscale_omitted")))
        == std::vector<std::string>{"scale.mscale_omitted", "scale.kv_lora_width"});
  settings.spread = 0.02;
  CHECK(all_of(diagnosed(simulate(settings, "scale.mscale_omitted")))
        == std::vector<std::string>{"scale.mscale_omitted"});
}

TEST_CASE("a scale less than a thousandth off is named, though rounding leaves hardly less") {
  Settings settings;
  settings.lse = false;
  settings.queries = 96;
  const auto report = diagnosed(simulate(settings, "scale.other:1.0007"));
  CHECK(report.null_ratio < 1.08);
  REQUIRE(first_of(report) == "scale.other");
  CHECK(number(report.findings.front(), "fitted") / number(report.findings.front(), "expected")
        == Approx(1.0007).margin(3e-4));
}

TEST_CASE("a sink that takes half a percent is named, though without it little is left") {
  Settings settings;
  settings.lse = false;
  settings.prefix = 24;
  const auto report = diagnosed(simulate(settings, "softmax.sink:slight"));
  CHECK(report.null_ratio < 1.5);
  REQUIRE(first_of(report) == "softmax.sink");
  CHECK(number(report.findings.front(), "sink") == Approx(std::log(1.0 / 3.0)).margin(0.1));
}

TEST_CASE("a sink is found in values of one number") {
  Settings settings;
  settings.lse = false;
  settings.value = 1;
  const auto report = diagnosed(simulate(settings, "softmax.sink:common"));
  REQUIRE(first_of(report) == "softmax.sink");
  CHECK(number(report.findings.front(), "sink") == Approx(1.5).margin(0.1));
}

TEST_CASE("a capture of lse alone is diagnosed") {
  auto wrong = simulate({}, "scale.latent_width");
  wrong.capture.out.reset();
  CHECK(first_of(diagnosed(wrong)) == "scale.latent_width");
  auto healthy = simulate({}, "healthy");
  healthy.capture.out.reset();
  CHECK(first_of(diagnosed(healthy)) == "healthy");
}

TEST_CASE("one head, and lse of two rows or heads, are enough") {
  Settings settings;
  settings.heads = 1;
  CHECK(first_of(diagnosed(simulate(settings, "scale.latent_width"))) == "scale.latent_width");
  settings.heads = 2;
  CHECK(first_of(diagnosed(simulate(settings, "lse.transposed"))) == "lse.transposed");
  settings.heads = 16;
  settings.queries = 2;
  CHECK(first_of(diagnosed(simulate(settings, "lse.transposed"))) == "lse.transposed");
}

TEST_CASE("a maximum exported with a scale that is half a thousandth off is named") {
  Settings settings;
  settings.dtype = tensor::Dtype::f32;
  settings.mscale = 1.00025; // which the exported maximum lacks
  const auto report = diagnosed(simulate(settings, "lse.max_export"));
  REQUIRE(first_of(report) == "lse.max_export");
  CHECK(number(report.findings.front(), "slope")
        == Approx(1.0 / (1.00025 * 1.00025) - 1.0).epsilon(1e-2));
}

TEST_CASE("lse that is a multiple of the natural one is no wrong maximum: the factor is told") {
  const auto simulation = simulate({}, "lse.multiple"); // 1.2 times
  const auto report = diagnosed(simulation);
  CHECK(first_of(report) == "unexplained");
  CHECK(report.unexplained.find("it is 1.2 times the natural one in every row")
        != std::string::npos);
}

TEST_CASE("every sequence of a batch sees its own keys alone") {
  // Rows from 17 on that do not see keys before 17 are two sequences of a packed batch.
  const auto in_two = [](const std::string& bug) {
    auto simulation = simulate({}, bug);
    simulation.capture.sequences = {{0, 17, 0, 17}, {17, 48, 17, 48}};
    return simulation;
  };
  CHECK(first_of(diagnosed(in_two("merge.context_dropped:boundary"))) == "healthy");
  CHECK(first_of(diagnosed(in_two("merge.context_dropped:boundary+scale.latent_width")))
        == "scale.latent_width");
  CHECK(first_of(diagnosed(in_two("healthy"))) != "healthy");
}

TEST_CASE("a window is found where logits are some hundreds") {
  Settings settings;
  settings.spread = 80.0;
  const auto report = diagnosed(simulate(settings, "mask.window"));
  REQUIRE(first_of(report) == "mask.window");
  CHECK(number(report.findings.front(), "window") == 13.0);
}

TEST_CASE("a merge is found where its parts meet, though the prefix ends elsewhere") {
  Settings settings;
  settings.prefix = 24;
  const auto report = diagnosed(simulate(settings, "merge.base2:17"));
  REQUIRE(first_of(report) == "merge.base2");
  CHECK(number(report.findings.front(), "boundary") == 17.0);
}

TEST_CASE("a page is the largest that explains the rows, the first page too") {
  Settings settings;
  settings.prefix = 24;
  auto report = diagnosed(simulate(settings, "pages.missing"));
  REQUIRE(first_of(report) == "pages.missing");
  CHECK(number(report.findings.front(), "page_size") == 8.0);
  CHECK(number(report.findings.front(), "page") == 1.0);
  report = diagnosed(simulate(settings, "pages.duplicated:first"));
  REQUIRE(first_of(report) == "pages.duplicated");
  CHECK(number(report.findings.front(), "first_key") == 8.0);
  CHECK(number(report.findings.front(), "source_page") == 0.0);
  settings.prefix = 280;
  settings.queries = 16;
  report = diagnosed(simulate(settings, "pages.missing:large"));
  REQUIRE(first_of(report) == "pages.missing");
  CHECK(number(report.findings.front(), "page_size") == 128.0);
  CHECK(number(report.findings.front(), "first_key") == 128.0);
}

TEST_CASE(
    "positions that are off by a page, or by where the sequence begins, are told by how much") {
  auto report = diagnosed(simulate({}, "rope.positions_shifted:page"));
  REQUIRE(first_of(report) == "rope.positions_shifted");
  CHECK(number(report.findings.front(), "shift") == 1024.0);
  Settings settings;
  settings.first_position = 1000;
  CHECK(first_of(diagnosed(simulate(settings, "healthy"))) == "healthy");
  report = diagnosed(simulate(settings, "rope.positions_shifted:zero"));
  REQUIRE(first_of(report) == "rope.positions_shifted");
  CHECK(number(report.findings.front(), "shift") == -1000.0);
}

TEST_CASE("a bug of the earlier rows alone is named with the last of them, beside a NaN too") {
  for (const std::string bug : {"pages.missing:early", "pages.missing:early+output.nan"}) {
    const auto report = diagnosed(simulate({}, bug)); // rows 0..23 of three heads
    INFO(bug << ": " << report.unexplained);
    REQUIRE_FALSE(report.findings.empty());
    const auto& last = report.findings.back();
    CHECK(last.id == "pages.missing");
    CHECK(last.evidence.find("over 72 rows") != std::string::npos);
    CHECK(last.evidence.find("; only rows up to 23") != std::string::npos);
  }
}

TEST_CASE("a factor on logits by a law that is not known is named by the rows between those fitted "
          "too") {
  Settings settings;
  settings.queries = 160; // more rows than are fitted
  settings.lse = false;
  const auto report = diagnosed(simulate(settings, "temperature.by_position:line"));
  REQUIRE(first_of(report) == "temperature.by_position");
  CHECK(text(report.findings.front(), "law") == "none known");
}
