#include "support/catch.hpp"

#include <mla_scale/json/writer.hpp>

#include <limits>

using mla_scale::json::Writer;

TEST_CASE("the writer indents, separates and escapes", "[json]") {
  Writer writer;
  writer.begin_object();
  writer.member("a", 0.1352337788608801).member("b", "x\n\x1B\"").key("c").begin_array();
  writer.value(1).value(true).null().end_array().key("d").begin_object().end_object().end_object();
  CHECK(writer.finish()
        == "{\n  \"a\": 0.1352337788608801,\n  \"b\": \"x\\n\\u001b\\\"\",\n  \"c\": [\n    1,\n   "
           " true,\n    null\n  ],\n"
           "  \"d\": {}\n}\n");
}

TEST_CASE("what JSON cannot hold becomes null or is replaced", "[json]") {
  Writer writer;
  writer.begin_array().value(std::numeric_limits<double>::quiet_NaN()).value("\xFF").end_array();
  CHECK(writer.finish() == "[\n  null,\n  \"\xEF\xBF\xBD\"\n]\n");
}
