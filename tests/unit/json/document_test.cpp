#include "support/catch.hpp"

#include <mla_scale/json/document.hpp>

using namespace mla_scale;
using json::Document;
using json::Kind;

namespace {

Error parse_failure(std::string text) {
  const auto document = Document::parse(std::move(text), "config.json");
  REQUIRE(!document);
  return document.error();
}

} // namespace

TEST_CASE("every value knows its line, column and pointer", "[json]") {
  const auto document =
      Document::parse("{\n  \"a\": 1,\n  \"b\": {\"c/d\": [true, \"x\\\"y\", -2.5]}\n}", "f");
  REQUIRE(document);
  const auto c = document->root().find("b")->find("c/d");
  REQUIRE(c);
  CHECK(c->position().line == 3);
  CHECK(c->position().column == 16);
  CHECK(c->pointer() == "/b/c~1d");
  const auto last = c->first()->next()->next();
  CHECK(last->position().column == 31);
  CHECK(last->pointer() == "/b/c~1d/2");
  CHECK(last->as_number().value() == -2.5);
  CHECK(document->root().find("a")->position().line == 2);
}

TEST_CASE("getters convert nothing", "[json]") {
  const auto document = Document::parse(
      R"({"a":1.5,"b":-1,"c":"128","d":true,"e":null,"f":18446744073709551615})", "f");
  REQUIRE(document);
  const auto root = document->root();
  CHECK(root.find("a")->as_integer().error().message
        == "a must be an integer, but a number with a fraction or exponent (1.5) stands there");
  CHECK(root.find("b")->as_integer().value() == -1);
  CHECK(!root.find("c")->as_integer());
  CHECK(!root.find("c")->as_number());
  CHECK(!root.find("d")->as_number());
  CHECK(!root.find("e")->as_number());
  CHECK(!root.find("f")->as_integer());
  CHECK(root.find("b")->as_number().value() == -1.0);
}

TEST_CASE("what Python's json refuses is refused, in words and with the place", "[json]") {
  CHECK(parse_failure("").message == "is empty where JSON was expected");
  CHECK(parse_failure("  \n ").message == "is empty where JSON was expected");
  const Error comma = parse_failure("{\n \"a\": 1,\n}");
  CHECK(comma.message.starts_with("trailing comma"));
  CHECK(comma.position.line == 3);
  CHECK(comma.position.column == 1);
  CHECK(parse_failure("{// hello\n}").message == "comment: JSON has none");
  CHECK(parse_failure("{\"a\": NaN}").message == "NaN is not a JSON number");
  CHECK(parse_failure("{\"a\": -Infinity}").message == "-Infinity is not a JSON number");
  CHECK(parse_failure("{\"a\": Infinity}").message == "Infinity is not a JSON number");
  CHECK(parse_failure("\xEF\xBB\xBF{}").message.find("byte order mark") != std::string::npos);
  CHECK(parse_failure("{\"a\": \"\xFF\"}").message == "a string is not valid UTF-8");
  CHECK(parse_failure("{\"a\": 1").message.find("truncated") != std::string::npos);
  CHECK(parse_failure("{} {}").message.find("follows") != std::string::npos);
}

TEST_CASE("a key that stands twice is refused at its second place", "[json]") {
  const Error error = parse_failure("{\"a\": 1,\n \"b\": {\"x\": 1, \"x\": 2}}");
  CHECK(error.message == "the key \"x\" stands twice in the same object");
  CHECK(error.position.line == 2);
  CHECK(error.position.column == 16);
}

TEST_CASE("nesting of 100,000 levels is an error and not a crash", "[json]") {
  CHECK(parse_failure(std::string(100000, '[')).message == "is nested deeper than 200 levels");
  std::string objects;
  for (int i = 0; i < 100000; ++i) {
    objects += "{\"a\":";
  }
  CHECK(parse_failure(objects).kind == ErrorKind::unsupported);
}

TEST_CASE("a text cut at any byte is an error", "[json]") {
  const std::string text = "{\"a\": [1, 2.5, true, null, \"s\\n\"], \"b\": {\"c\": -1e3}}";
  REQUIRE(Document::parse(text, "f"));
  for (std::size_t length = 0; length < text.size(); ++length) {
    CHECK(!Document::parse(text.substr(0, length), "f"));
  }
}

TEST_CASE("numbers too large for a double are refused", "[json]") {
  CHECK(!Document::parse("{\"a\": 1e999}", "f"));
}

TEST_CASE("an integer beyond 64 bits is too large, and no fraction", "[json]") {
  const auto document =
      Document::parse(R"({"a": 1180591620717411303424, "b": 1.5, "c": -9223372036854775809})", "f");
  REQUIRE(document);
  CHECK(document->root().find("a")->as_integer().error().message
        == "a is 1180591620717411303424, too large for any integer of 64 bits");
  CHECK(document->root().find("c")->as_integer().error().message.find("too large")
        != std::string::npos);
  CHECK(document->root().find("b")->as_integer().error().message.find("fraction")
        != std::string::npos);
  const Error error = parse_failure("{\"a\": 1" + std::string(400, '0') + "}");
  CHECK(error.message.find("too large") != std::string::npos);
}

TEST_CASE("columns count characters, not bytes", "[json]") {
  // e acute has 2 bytes, the Japanese sun 3, the emoji 4.
  const auto document =
      Document::parse("{\"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\": 7}", "config.json");
  REQUIRE(document);
  CHECK(document->root().first()->position().column == 9);
  CHECK(parse_failure("{\"\xC3\xA9\": 7,}").position.column == 9);
}

TEST_CASE("a second key is found in objects of any size", "[json]") {
  for (const int members : {1, 63, 64, 65, 1000}) {
    std::string text = "{";
    for (int i = 0; i < members; ++i) {
      text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
    }
    INFO(members);
    const auto good = Document::parse(text + "\"last\":1}", "config.json");
    REQUIRE(good);
    CHECK(good->root().find("k" + std::to_string(members - 1))->as_integer().value()
          == members - 1);
    const std::string twice = "k" + std::to_string(members / 2);
    const Error error = parse_failure(text + "\"" + twice + "\":1}");
    CHECK(error.message == "the key \"" + twice + "\" stands twice in the same object");
    CHECK(error.position.column == text.size() + 1);
  }
}

TEST_CASE("a pointer leads back to its value", "[json]") {
  const auto document = Document::parse(R"({"a/b": {"c~d": 5}, "e": {}})", "f");
  REQUIRE(document);
  const auto value = json::resolve(document->root(), "/a~1b/c~0d");
  REQUIRE(value);
  CHECK(value->as_integer().value() == 5);
  CHECK(value->pointer() == "/a~1b/c~0d");
  CHECK(json::resolve(document->root(), "")->is_object());
  CHECK(!json::resolve(document->root(), "/e/c"));
}
