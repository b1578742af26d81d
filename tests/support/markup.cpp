#include "support/markup.hpp"

#include <algorithm>
#include <set>

namespace {

const std::map<std::string, std::string, std::less<>> k_entities = {
    {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}};

class Reader {
public:
  explicit Reader(std::string_view page) : m_page(page) {}

  Markup read() {
    constexpr std::string_view k_doctype = "<!DOCTYPE html>\n";
    if (!m_page.starts_with(k_doctype)) {
      problem("no doctype");
    }
    m_page.remove_prefix(std::min(m_page.size(), k_doctype.size()));
    while (!m_page.empty()) {
      if (m_page.front() != '<') {
        text(m_page.substr(0, m_page.find('<')));
      } else if (m_page.starts_with("</")) {
        end_tag();
      } else {
        start_tag();
      }
    }
    for (const std::size_t open : m_open) {
      problem("not closed: " + m_result.elements[open].name);
    }
    references();
    return std::move(m_result);
  }

private:
  void problem(std::string what) { m_result.problems.push_back(std::move(what)); }

  void add_text(std::string_view plain) {
    for (const std::size_t open : m_open) {
      m_result.elements[open].text += plain;
    }
  }

  std::string unescaped(std::string_view raw) {
    std::string plain;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (static_cast<unsigned char>(raw[i]) < 0x20 && raw[i] != '\n') {
        problem("control character");
      }
      if (raw[i] != '&') {
        plain += raw[i];
        continue;
      }
      const std::size_t end = raw.find(';', i);
      const auto found = k_entities.find(raw.substr(i + 1, end - i - 1));
      if (end == std::string_view::npos || found == k_entities.end()) {
        problem("bare & before " + std::string(raw.substr(i, 12)));
        continue;
      }
      plain += found->second;
      i = end;
    }
    return plain;
  }

  void text(std::string_view raw) {
    add_text(unescaped(raw));
    m_page.remove_prefix(raw.size());
  }

  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  }

  std::string name() {
    const auto end = std::find_if_not(m_page.begin(), m_page.end(), is_name);
    std::string result(m_page.begin(), end);
    m_page.remove_prefix(result.size());
    return result;
  }

  void start_tag() {
    m_page.remove_prefix(1);
    MarkupElement element;
    element.name = name();
    if (element.name.empty()) {
      problem("bare < before " + std::string(m_page.substr(0, 20)));
    }
    while (!m_page.empty() && m_page.front() == ' ') {
      m_page.remove_prefix(1);
      attribute(element);
    }
    const bool closed = m_page.starts_with("/>");
    if (!closed && !m_page.starts_with(">")) {
      problem("bad tag " + element.name + " before " + std::string(m_page.substr(0, 20)));
      m_page = {};
      return;
    }
    m_page.remove_prefix(closed ? 2 : 1);
    m_result.elements.push_back(element);
    if (closed) {
      return;
    }
    m_open.push_back(m_result.elements.size() - 1);
    if (element.name == "script" || element.name == "style") {
      const std::size_t end = std::min(m_page.find("</" + element.name + ">"), m_page.size());
      add_text(m_page.substr(0, end));
      m_page.remove_prefix(end);
    }
  }

  void attribute(MarkupElement& element) {
    const std::string key = name();
    const std::size_t end = m_page.find('"', 2);
    if (key.empty() || !m_page.starts_with("=\"") || end == std::string_view::npos) {
      problem("bad attribute of " + element.name + ": " + key);
      return;
    }
    const std::string_view raw = m_page.substr(2, end - 2);
    if (raw.find('<') != std::string_view::npos) {
      problem("< in an attribute of " + element.name);
    }
    if (!element.attributes.emplace(key, unescaped(raw)).second) {
      problem(key + " twice");
    }
    m_page.remove_prefix(end + 1);
  }

  void end_tag() {
    m_page.remove_prefix(2);
    const std::string closed = name();
    if (m_open.empty() || m_result.elements[m_open.back()].name != closed) {
      problem("</" + closed + "> closes nothing");
    } else {
      m_open.pop_back();
    }
    m_page.remove_prefix(m_page.starts_with(">") ? 1 : 0);
  }

  void references() {
    std::set<std::string> ids;
    for (const MarkupElement& element : m_result.elements) {
      const auto id = element.attributes.find("id");
      if (id != element.attributes.end() && !ids.insert(id->second).second) {
        problem("id twice: " + id->second);
      }
    }
    const auto need = [&](const std::string& id) {
      if (ids.count(id) == 0) {
        problem("no such id: " + id);
      }
    };
    for (const MarkupElement& element : m_result.elements) {
      for (const auto& [key, value] : element.attributes) {
        if (key == "href" && value.starts_with("#")) {
          need(value.substr(1));
        } else if (key == "fill" && value.starts_with("url(#")) {
          need(value.substr(5, value.size() - 6));
        } else if (key == "for" || key == "data-copy") {
          need(value);
        } else if (key == "aria-labelledby") {
          for (std::size_t at = 0; at < value.size();) {
            const std::size_t end = std::min(value.find(' ', at), value.size());
            need(value.substr(at, end - at));
            at = end + 1;
          }
        }
      }
    }
  }

  std::string_view m_page;
  Markup m_result;
  std::vector<std::size_t> m_open;
};

} // namespace

std::vector<MarkupElement> Markup::named(std::string_view name) const {
  std::vector<MarkupElement> result;
  std::copy_if(elements.begin(), elements.end(), std::back_inserter(result),
               [&](const MarkupElement& element) { return element.name == name; });
  return result;
}

Markup parse_markup(std::string_view page) {
  return Reader(page).read();
}
