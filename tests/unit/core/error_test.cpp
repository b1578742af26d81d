#include "support/catch.hpp"

#include <mla_scale/core/error.hpp>

using namespace mla_scale;

TEST_CASE("an error says the tensor's name unless the message has it as a word", "[core]") {
  const auto text = [](const std::string& name, const std::string& message) {
    return to_string(Error{ErrorKind::schema, message, "a.pt", name, {}});
  };
  CHECK(text("o", "does not hold 4 heads") == "a.pt: o: does not hold 4 heads");
  CHECK(text("out", "out has 3 rows") == "a.pt: out has 3 rows");
  CHECK(text("k", "its shape is not k_pe's") == "a.pt: k: its shape is not k_pe's");
  CHECK(text("lse", "has no (lse)") == "a.pt: has no (lse)");
}
