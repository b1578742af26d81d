#include "support/catch.hpp"

#include <mla_scale/core/text.hpp>

#include <string_view>
#include <vector>

using namespace mla_scale;

TEST_CASE("control characters, bidirectional overrides and broken UTF-8 are escaped", "[core]") {
  CHECK(escape_control("plain \xC3\xA9 \xE6\x97\xA5") == "plain \xC3\xA9 \xE6\x97\xA5");
  CHECK(escape_control("\x1B[31mred") == "\\x1b[31mred");
  CHECK(escape_control("a\nb\tc\x7F") == "a\\x0ab\\x09c\\x7f");
  CHECK(escape_control("\xE2\x80\xAE") == "\\u{202e}");
  CHECK(escape_control("\xC2\x9B") == "\\u{009b}");
  CHECK(escape_control("\xFF\xC0\x80") == "\\xff\\xc0\\x80");
  CHECK(escape_control("\xE2\x82") == "\\xe2\\x82");
  CHECK(escape_control("\xED\xA0\x80") == "\\xed\\xa0\\x80");
}

TEST_CASE("numbers print as the shortest decimal that reads back", "[core]") {
  CHECK(format_number(0.1352337788608801) == "0.1352337788608801");
  CHECK(format_number(40.0) == "40");
  CHECK(format_number(0.1) == "0.1");
  CHECK(format_number(-0.0) == "-0");
}

TEST_CASE("edit distance counts a swap of neighbours once", "[core]") {
  CHECK(edit_distance("msclae", "mscale") == 1);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("msclae", "mscale", 1) == 1);
  CHECK(edit_distance("kitten", "sitting", 3) == 3);
  CHECK(edit_distance("kitten", "sitting", 2) > 2);
  CHECK(edit_distance("rope_theta", "v_head_dim", 2) > 2);
}

TEST_CASE("a suggestion is given only when it is near", "[core]") {
  const std::string_view names[] = {"inspect", "engines", "audit"};
  CHECK(closest_match("inspct", names) == "inspect");
  CHECK(closest_match("adit", names) == "audit");
  CHECK(closest_match("zzzzzzz", names).empty());
  const std::string_view engines[] = {"vllm", "llama.cpp", "ollama"};
  CHECK(likely_name("llama", engines) == "llama.cpp");
  CHECK(likely_name("LLAMA", engines) == "llama.cpp");
  CHECK(likely_name("olama", engines) == "ollama");
  CHECK(likely_name("", engines).empty());
  const std::vector<std::string_view> one_slip_away{"plm", "vllm"};
  CHECK(closest_match("vlm", one_slip_away) == "vllm");
}
