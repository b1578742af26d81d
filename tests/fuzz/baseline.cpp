#include "input_file.hpp"
#include "promise.hpp"
#include "targets.hpp"

#include <mla_scale/audit/baseline.hpp>

using namespace mla_scale;

void fuzz_baseline(std::span<const std::uint8_t> bytes) {
  const InputFile file(bytes);
  const auto baseline = audit::read_baseline(file.path());
  if (!baseline) {
    promise(!to_string(baseline.error()).empty(), "an error says what is wrong");
    return;
  }
  audit::Audit audit;
  audit::apply_baseline(audit, *baseline, "2026-01-01");
  promise(audit.stale.size() == baseline->accepted.size(), "no finding, so every entry is stale");
}
