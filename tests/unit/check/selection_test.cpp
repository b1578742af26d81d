#include "support/catch.hpp"

#include <mla_scale/check/selection.hpp>

using namespace mla_scale;
using namespace mla_scale::check;

namespace {

std::vector<std::int64_t> chosen(std::string_view text, std::int64_t count) {
  const auto selection = parse_selection(text);
  REQUIRE(selection.has_value());
  const auto indices = choose(*selection, count, "head");
  REQUIRE(indices.has_value());
  return *indices;
}

} // namespace

TEST_CASE("numbers and ranges in any order are chosen once and in order", "[check]") {
  CHECK(chosen("0,3,8-10", 16) == std::vector<std::int64_t>{0, 3, 8, 9, 10});
  CHECK(chosen("5,2-5,2", 16) == std::vector<std::int64_t>{2, 3, 4, 5});
  CHECK(choose({}, 16, "head")->empty());
}

TEST_CASE("selections that are not numbers and ranges are refused", "[check]") {
  for (const char* text : {"", "-1", "1-", "-", "3-1", "1,,2", "1, 2", "a", "1.5", "0x1",
                           "9223372036854775808", "1-2-3", "+1"}) {
    INFO(text);
    CHECK(!parse_selection(text).has_value());
  }
}

TEST_CASE("indices past the end are refused before room is made for them", "[check]") {
  const auto selection = parse_selection("0-9223372036854775807");
  REQUIRE(selection.has_value());
  const auto indices = choose(*selection, 4, "query row");
  REQUIRE(!indices.has_value());
  CHECK(indices.error().kind == ErrorKind::usage);
}
