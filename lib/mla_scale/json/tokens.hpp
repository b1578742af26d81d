#pragma once

#include <mla_scale/core/error.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace mla_scale::json {

/// Walks the tokens of a JSON text that a parser has already accepted up to the same place, to
/// learn where each starts.
///
/// nlohmann_json reports no positions for values; but its events come in the order of the tokens,
/// so one call of next() for each event pairs them up, in one pass and without a second grammar.
class TokenCursor {
public:
  explicit TokenCursor(std::string_view text) : m_text(text) {}

  /// Offset of the next token that is not a comma or a colon; the cursor moves behind it.
  std::size_t next();
  [[nodiscard]] std::size_t offset() const { return m_offset; }

private:
  std::string_view m_text;
  std::size_t m_offset = 0;
};

/// Turns byte offsets into lines and columns, both from 1. A column counts Unicode characters (code
/// points), as editors show them and as SARIF's columnKind "unicodeCodePoints" says.
class LineTable {
public:
  /// `text` must outlive the table.
  explicit LineTable(std::string_view text);
  [[nodiscard]] Position position(std::size_t offset) const;

private:
  std::string_view m_text;
  std::vector<std::size_t> m_starts;
};

} // namespace mla_scale::json
