#include "html_pages.hpp"
#include "support/sha256.hpp"

#include <mla_scale/report/html/axis.hpp>
#include <mla_scale/report/html/page.hpp>
#include <mla_scale/report/html/plots.hpp>
#include <mla_scale/report/html/table.hpp>

#include <cmath>
#include <limits>

using namespace mla_scale;
using namespace mla_scale::report;

namespace {

constexpr double k_infinity = std::numeric_limits<double>::infinity();

compare::TensorComparison tensor_of(std::int64_t heads, std::int64_t buckets) {
  compare::TensorComparison tensor;
  tensor.name = "out";
  for (std::int64_t head = 0; head < heads; ++head) {
    tensor.by_head.push_back({head, head, 2e-3, 1e-3, 2.0, 0, true});
  }
  for (std::int64_t bucket = 0; bucket < buckets; ++bucket) {
    tensor.by_position.push_back({bucket * 10, bucket * 10 + 9, 1e-3, 1e-3, 1.0, 0, false});
  }
  tensor.map.assign(static_cast<std::size_t>(heads * buckets), 1.0);
  return tensor;
}

Markup figure(const std::string& markup) {
  return checked_page("<!DOCTYPE html>\n<html><style></style><h1></h1>" + markup
                      + "<script></script></html>");
}

/// The class of the cell whose title starts with this.
std::string class_of(const Markup& markup, const std::string& title) {
  for (const MarkupElement& rect : markup.named("rect")) {
    if (rect.text.starts_with(title)) {
      return rect.attributes.at("class");
    }
  }
  return "none";
}

double attribute(const MarkupElement& element, const std::string& key) {
  return std::stod(element.attributes.at(key));
}

} // namespace

TEST_CASE("the digest of the tests is that of FIPS 180-4's example", "[report]") {
  // ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad for "abc".
  CHECK(sha256_base64("abc") == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

TEST_CASE("the policy of a page names the digests of its own style and script", "[report]") {
  const Markup page = checked_page(html::page("title", "<h1>one</h1>"));
  const std::string style = page.named("style").front().text;
  const std::string script = page.named("script").front().text;
  CHECK(style.find("prefers-color-scheme: dark") != std::string::npos);
  CHECK(script.find("aria-sort") != std::string::npos);
  const auto metas = page.named("meta");
  const auto policy = std::find_if(metas.begin(), metas.end(), [](const MarkupElement& meta) {
    return meta.attributes.count("http-equiv") != 0;
  });
  REQUIRE(policy != metas.end());
  CHECK(policy->attributes.at("content")
        == "default-src 'none'; style-src 'sha256-" + sha256_base64(style)
               + "'; script-src 'sha256-" + sha256_base64(script)
               + "'; base-uri 'none'; form-action 'none'");
  CHECK(page.named("html").front().attributes.at("lang") == "en");
}

TEST_CASE("cells of the map have the shade of their error and say it", "[report]") {
  compare::TensorComparison tensor = tensor_of(2, 5);
  tensor.map = {1.0, 1.7, 5.0, 20.0, 1e4, -1.0, k_infinity, std::nan(""), 99.0, 900.0};
  const Markup markup = figure(html::error_map(tensor));
  CHECK(markup.named("rect").size() == 9); // no cell where there is no row
  CHECK(class_of(markup, "head 0, positions 0 to 9: 1 floors") == "c0");
  CHECK(class_of(markup, "head 0, positions 10 to 19: 1.7 floors") == "c1");
  CHECK(class_of(markup, "head 0, positions 20 to 29: 5 floors") == "c2");
  CHECK(class_of(markup, "head 0, positions 30 to 39: 20 floors") == "c3");
  CHECK(class_of(markup, "head 0, positions 40 to 49: 1e+04 floors") == "c6");
  CHECK(class_of(markup, "head 1, positions 0") == "none");
  CHECK(class_of(markup, "head 1, positions 10 to 19: not finite") == "hatched");
  CHECK(class_of(markup, "head 1, positions 20 to 29: not finite") == "hatched");
  CHECK(class_of(markup, "head 1, positions 30 to 39: 99 floors") == "c4");
  CHECK(class_of(markup, "head 1, positions 40 to 49: 900 floors") == "c5");
}

TEST_CASE("a map without cells is no figure", "[report]") {
  CHECK(html::error_map(tensor_of(0, 0)).empty());
  compare::TensorComparison torn = tensor_of(3, 4);
  torn.map.pop_back();
  CHECK(html::error_map(torn).empty());
}

TEST_CASE("128 heads and 16 ranges stay inside the drawing", "[report]") {
  const Markup markup = figure(html::error_map(tensor_of(128, 16)));
  CHECK(markup.named("rect").size() == 128 * 16);
  const std::string box = markup.named("svg").front().attributes.at("viewBox");
  const double width = std::stod(box.substr(4));
  const double height = std::stod(box.substr(box.rfind(' ')));
  for (const MarkupElement& rect : markup.named("rect")) {
    CHECK(attribute(rect, "x") + attribute(rect, "width") <= width);
    CHECK(attribute(rect, "y") + attribute(rect, "height") <= height);
  }
}

TEST_CASE("errors of groups are drawn where their axis says, the bad ones as squares", "[report]") {
  compare::TensorComparison tensor = tensor_of(3, 3);
  tensor.by_position[0].relative_rms = 1e-1;
  tensor.by_position[0].bad = true;
  tensor.by_position[1].relative_rms = 1e-2;
  tensor.by_position[2].relative_rms = 1e-3;
  tensor.by_position[2].not_finite = 4;
  const Markup markup = figure(html::error_plot(tensor, html::Groups::positions));
  const auto circles = markup.named("circle");
  REQUIRE(markup.named("rect").size() == 1);
  REQUIRE(circles.size() == 2);
  const double first = attribute(markup.named("rect").front(), "y") + 3.5;
  const double second = attribute(circles[0], "cy");
  const double third = attribute(circles[1], "cy");
  CHECK(second - first == Approx(third - second).margin(0.11)); // decades are equally far apart
  CHECK(first < second);
  CHECK(circles[1].text == "positions 20 to 29: error 0.001, floor 0.001, 4 rows not finite");
}

TEST_CASE("each head's scale has its place, its error and the expected scale beside it",
          "[report]") {
  compare::ScaleFit fit;
  fit.softmax_scale = 0.1;
  fit.standard_error = 0.001;
  fit.by_head = {{0, 0.09, 0.005, true}, {1, 0.11, 0.01, true}, {5, 0.10, 0.002, false}};
  const std::string drawn = html::scale_plot(fit, 0.1, html::NamedScale{k_hostile, 0.095});
  CHECK(drawn.find("class=\"error\"") < drawn.find("<circle")); // dots lie on top of all bars
  const Markup markup = figure(drawn);
  const auto circles = markup.named("circle");
  REQUIRE(circles.size() == 3);
  CHECK(circles[0].text == "head 0: 0.09 ± 0.005");
  CHECK(circles[2].text == "head 5: 0.1 ± 0.002, not converged");
  CHECK(circles[2].attributes.at("class") == "open");
  const double low = attribute(circles[0], "cy");
  const double high = attribute(circles[1], "cy");
  CHECK(attribute(circles[2], "cy") == Approx((low + high) / 2).margin(0.02));
  double expected = 0.0;
  std::vector<double> bars;
  for (const MarkupElement& path : markup.named("path")) {
    const std::string& d = path.attributes.at("d");
    if (path.attributes.at("class") == "expected") {
      expected = std::stod(d.substr(d.find(' ')));
    } else if (path.attributes.at("class") == "error") {
      for (std::size_t v = d.find('V'); v != std::string::npos; v = d.find('V', v + 1)) {
        const double from = std::stod(d.substr(d.rfind(' ', v)));
        bars.push_back(std::abs(from - std::stod(d.substr(v + 1))));
      }
    }
  }
  CHECK(expected == Approx((low + high) / 2).margin(0.02));
  REQUIRE(bars.size() == 3);
  CHECK(bars[0] == Approx((low - high) / 2).margin(0.05)); // 2 · 0.005 of the 0.02 between them
  CHECK(bars[1] == Approx(low - high).margin(0.05));
  CHECK(says(markup, "text", k_shown));
}

TEST_CASE("heads that agree far from the expected scale are drawn once more from near",
          "[report]") {
  compare::ScaleFit fit;
  fit.softmax_scale = 0.0417;
  fit.standard_error = 1e-8;
  fit.by_head = {{0, 0.0417, 1e-8, true}, {1, 0.0417 + 2e-8, 1e-8, true}};
  CHECK(figure(html::scale_plot(fit, 0.1147, {})).named("svg").size() == 2);
  fit.by_head[1].softmax_scale = 0.1;
  CHECK(figure(html::scale_plot(fit, 0.1147, {})).named("svg").size() == 1);
}

TEST_CASE("scales that are not numbers, zero or equal draw nothing wrong", "[report]") {
  compare::ScaleFit fit;
  CHECK(html::scale_plot(fit, 0.1, {}).empty());
  for (const double scale : {std::nan(""), k_infinity, 0.0, 0.1, 1e300}) {
    for (const double error : {std::nan(""), k_infinity, 0.0, 1e300}) {
      CAPTURE(scale, error);
      fit.softmax_scale = scale;
      fit.standard_error = error;
      fit.by_head = {{0, scale, error, true}, {1, scale, error, false}};
      figure(html::scale_plot(fit, 0.1, html::NamedScale{"x", scale}));
      figure(html::scale_line(fit, 0.1, {{"a", scale}, {"b", 0.05}}));
      figure(html::scale_line(fit, scale, {{"b", 0.05}}));
    }
  }
}

TEST_CASE("ticks are round numbers within the axis", "[report]") {
  CHECK(html::ticks({0.0, 1.0, 0, 1, false}, 5)
        == std::vector<double>{0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0});
  CHECK(html::ticks({1e-3, 1e2, 0, 1, true}, 8).size() == 6);
  CHECK(html::ticks({1.0, 1.0, 0, 1, false}, 5).empty());
  CHECK(html::Axis{1.0, 100.0, 0.0, 10.0, true}.at(10.0) == Approx(5.0));
  CHECK(html::Axis{1.0, 3.0, 10.0, 0.0, false}.at(1.5) == Approx(7.5));
  CHECK(html::Axis{1.0, 3.0, 10.0, 0.0, false}.at(7.0) == 0.0);
}

TEST_CASE("cells carry the number that they sort by", "[report]") {
  html::Table table("c", {{"a"}, {"b", html::Column::Kind::number}});
  CHECK(table.markup().empty());
  table.add({{"x"}, html::number_cell(0.000123456)});
  table.add({{"y"}, html::number_cell(k_infinity)});
  table.add({{"z"}, html::number_cell(std::nan(""))});
  const Markup markup = figure(table.markup());
  const auto cells = markup.named("td");
  REQUIRE(cells.size() == 3);
  CHECK(cells[0].text == "0.000123");
  CHECK(cells[0].attributes.at("data-value") == "0.000123456");
  CHECK(cells[1].attributes.at("data-value") == "Infinity");
  CHECK(cells[2].text == "n/a");
  for (const MarkupElement& heading : markup.named("th")) {
    CHECK(heading.attributes.count("scope") == 1);
  }
}
