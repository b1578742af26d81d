#include "input_file.hpp"
#include "promise.hpp"
#include "targets.hpp"

#include <mla_scale/audit/snapshot.hpp>

#include <set>

using namespace mla_scale;

void fuzz_snapshot(std::span<const std::uint8_t> bytes) {
  const InputFile file(bytes);
  const auto snapshot = audit::read_snapshot(file.path());
  if (!snapshot) {
    promise(!to_string(snapshot.error()).empty(), "an error says what is wrong");
    return;
  }
  const std::string text = audit::write_snapshot(*snapshot);
  const InputFile again({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  const auto written = audit::read_snapshot(again.path());
  promise(written.has_value(), "what was written can be read");
  promise(audit::write_snapshot(*written) == text, "and is the same");
}
