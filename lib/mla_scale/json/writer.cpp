#include <mla_scale/json/writer.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace mla_scale::json {

void Writer::separate() {
  if (m_after_key) {
    m_after_key = false;
    return;
  }
  if (m_has_members.empty()) {
    return;
  }
  m_text += m_has_members.back() ? ",\n" : "\n";
  m_text.append(2 * m_has_members.size(), ' ');
  m_has_members.back() = true;
}

void Writer::open(char bracket) {
  separate();
  m_text += bracket;
  m_has_members.push_back(false);
}

void Writer::close(char bracket) {
  const bool had_members = m_has_members.back();
  m_has_members.pop_back();
  if (had_members) {
    m_text += '\n';
    m_text.append(2 * m_has_members.size(), ' ');
  }
  m_text += bracket;
}

Writer& Writer::begin_object() {
  open('{');
  return *this;
}

Writer& Writer::end_object() {
  close('}');
  return *this;
}

Writer& Writer::begin_array() {
  open('[');
  return *this;
}

Writer& Writer::end_array() {
  close(']');
  return *this;
}

Writer& Writer::key(std::string_view name) {
  value(name);
  m_text += ": ";
  m_after_key = true;
  return *this;
}

Writer Writer::for_element() const {
  Writer element;
  element.m_has_members.assign(m_has_members.size(), false);
  return element;
}

Writer& Writer::append(const Writer& element) {
  m_text += m_has_members.back() ? "," : "";
  m_text += element.m_text; // begins with the line break and the indentation
  m_has_members.back() = true;
  return *this;
}

Writer& Writer::value(std::string_view text) {
  separate();
  m_text += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return *this;
}

Writer& Writer::value(double number) {
  if (!std::isfinite(number)) {
    return null();
  }
  separate();
  m_text += fmt::format("{}", number);
  return *this;
}

Writer& Writer::value(std::int64_t number) {
  separate();
  m_text += fmt::format("{}", number);
  return *this;
}

Writer& Writer::value(std::uint64_t number) {
  separate();
  m_text += fmt::format("{}", number);
  return *this;
}

Writer& Writer::value(bool truth) {
  separate();
  m_text += truth ? "true" : "false";
  return *this;
}

Writer& Writer::null() {
  separate();
  m_text += "null";
  return *this;
}

} // namespace mla_scale::json
