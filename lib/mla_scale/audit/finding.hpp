#pragma once

#include <mla_scale/core/error.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace mla_scale::audit {

/// How bad a finding is. An error is a config that no reader can follow or that readers follow in
/// ways that cannot all be right; a warning is a trap that named engines fall into; a note is worth
/// knowing.
enum class Severity { note, warning, error };

/// "note", "warning", "error".
[[nodiscard]] std::string_view to_string(Severity severity);
[[nodiscard]] std::optional<Severity> severity_from(std::string_view name);

/// Something that a rule has to say about a place in a file.
struct Finding {
  std::string id;   ///< "MLA203", stable
  std::string slug; ///< "rope-type-legacy-key"
  Severity severity = Severity::note;
  std::string message;       ///< what is the matter and what to do about it, one line
  std::string path;          ///< the file
  std::string relative_path; ///< the same below the audited directory; keys baselines
  std::string pointer; ///< JSON pointer, GGUF key or tensor name; may name a key that is missing
  Position position;   ///< unknown for binary files
  std::string help;    ///< what to do
};

} // namespace mla_scale::audit
