#include "tokens.hpp"

#include <algorithm>

namespace mla_scale::json {
namespace {

constexpr bool is_between_tokens(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ':';
}

constexpr bool is_bracket(char c) {
  return c == '{' || c == '}' || c == '[' || c == ']';
}

} // namespace

std::size_t TokenCursor::next() {
  std::size_t start = m_offset;
  while (start < m_text.size() && is_between_tokens(m_text[start])) {
    ++start;
  }
  m_offset = start;
  if (start == m_text.size()) {
    return start;
  }
  const char lead = m_text[start];
  if (lead == '"') {
    std::size_t at = start + 1;
    while (at < m_text.size() && m_text[at] != '"') {
      at += m_text[at] == '\\' ? 2U : 1U;
    }
    m_offset = std::min(at + 1, m_text.size());
  } else if (is_bracket(lead)) {
    m_offset = start + 1;
  } else {
    while (m_offset < m_text.size() && !is_between_tokens(m_text[m_offset])
           && m_text[m_offset] != ']' && m_text[m_offset] != '}') {
      ++m_offset;
    }
  }
  return start;
}

LineTable::LineTable(std::string_view text) : m_text(text) {
  m_starts.push_back(0);
  for (std::size_t at = text.find('\n'); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    m_starts.push_back(at + 1);
  }
}

Position LineTable::position(std::size_t offset) const {
  const auto after = std::upper_bound(m_starts.begin(), m_starts.end(), offset);
  const auto line = static_cast<std::size_t>(after - m_starts.begin());
  const std::string_view before = m_text.substr(m_starts[line - 1], offset - m_starts[line - 1]);
  const auto characters = std::count_if(before.begin(), before.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; // no continuation byte of UTF-8
  });
  return {line, static_cast<std::size_t>(characters) + 1};
}

} // namespace mla_scale::json
