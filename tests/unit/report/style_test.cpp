#include "support/catch.hpp"

#include <mla_scale/report/style.hpp>

using namespace mla_scale::report;

TEST_CASE("text hangs behind its head", "[report]") {
  CHECK(hanging("  name      ", 12, "one two three four five six seven", 40)
        == "  name      one two three four five six\n"
           "            seven\n");
}

TEST_CASE("where a head leaves no room, text starts below it", "[report]") {
  CHECK(hanging("  a very long head of a line  ", 30, "one two three four five six seven", 40)
        == "  a very long head of a line\n"
           "      one two three four five six seven\n");
  CHECK(hanging("  a very long head of a line  ", 30, "", 40)
        == "  a very long head of a line  \n");
}

TEST_CASE("a word longer than the line is not broken", "[report]") {
  CHECK(hanging("  ", 2, "a /very/long/path/that/does/not/fit/in/here b", 30)
        == "  a\n  /very/long/path/that/does/not/fit/in/here\n  b\n");
}
