#include <mla_scale/core/text.hpp>
#include <mla_scale/report/html/table.hpp>
#include <mla_scale/report/xml.hpp>

#include <fmt/format.h>

#include <cmath>

namespace mla_scale::report::html {
namespace {

constexpr std::size_t k_fewest_rows = 3; // to be worth sorting

std::string_view class_of(Column::Kind kind) {
  switch (kind) {
  case Column::Kind::name:
    return "name";
  case Column::Kind::place:
    return "place";
  case Column::Kind::number:
    return "number";
  case Column::Kind::prose:
    return "prose";
  case Column::Kind::text:
    break;
  }
  return "text";
}

/// A value as scripts read it.
std::string sort_value(double value) {
  return std::isinf(value) ? (value > 0.0 ? "Infinity" : "-Infinity") : format_number(value);
}

} // namespace

Cell number_cell(double value, int digits) {
  return {std::isnan(value) ? std::string("n/a") : fmt::format("{:.{}g}", value, digits), value};
}

void Table::add(const std::vector<Cell>& cells) {
  m_rows += "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string value =
        cells[i].value ? fmt::format(" data-value=\"{}\"", sort_value(*cells[i].value)) : "";
    m_rows += i == 0 ? fmt::format("<th scope=\"row\" class=\"{}\"{}>{}</th>",
                                   class_of(m_columns[i].kind), value, cells[i].markup)
                     : fmt::format("<td class=\"{}\"{}>{}</td>", class_of(m_columns[i].kind), value,
                                   cells[i].markup);
  }
  m_rows += "</tr>\n";
  ++m_count;
}

std::string Table::markup(bool sorts) const {
  if (m_rows.empty()) {
    return {};
  }
  std::string headings;
  for (const Column& column : m_columns) {
    headings +=
        fmt::format("<th scope=\"col\" class=\"{}\">{}</th>", class_of(column.kind), column.title);
  }
  const std::string caption =
      m_caption.empty() ? "" : fmt::format("<caption>{}</caption>\n", m_caption);
  return fmt::format("<div class=\"scroll\">\n<table{}>\n{}<thead><tr>{}</tr></thead>\n"
                     "<tbody>\n{}</tbody>\n</table>\n</div>\n",
                     sorts && m_count >= k_fewest_rows ? " data-sort=\"\"" : "", caption, headings,
                     m_rows);
}

} // namespace mla_scale::report::html
