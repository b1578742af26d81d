#include <mla_scale/report/drift.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mla_scale::report {

std::string place(std::string_view path, const Position& position) {
  return position.line == 0 ? std::string(path)
                            : fmt::format("{}:{}:{}", path, position.line, position.column);
}

std::string drift_sentence(const audit::Drift& drift) {
  return fmt::format("{} was {} in the snapshot and is {} now", drift.field,
                     audit::to_string(drift.expected), audit::to_string(drift.actual));
}

std::string stale_sentence(const audit::StaleEntry& entry) {
  const std::string what = fmt::format(
      "{} at {} in {}", entry.rule, entry.pointer.empty() ? "the file" : entry.pointer, entry.path);
  return entry.expired
             ? fmt::format("{} was accepted until {} and is still there", what, entry.expires)
             : fmt::format("{} is no longer found; remove the entry", what);
}

std::vector<std::string> sentences(const audit::EngineChanges& changes) {
  std::vector<std::string> result;
  if (!changes.added.empty()) {
    result.push_back(fmt::format("engines that the snapshot does not know, so not compared: {}; "
                                 "--bless records them",
                                 fmt::join(changes.added, ", ")));
  }
  if (!changes.gone.empty()) {
    result.push_back(fmt::format("engines of the snapshot that this version does not know, so not "
                                 "compared: {}",
                                 fmt::join(changes.gone, ", ")));
  }
  return result;
}

} // namespace mla_scale::report
