#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla_scale::report::html {

/// A column: its heading, and how its cells are set.
struct Column {
  /// Prose keeps room for some words a line, and place is where something stands in a file.
  enum class Kind { text, prose, name, place, number };
  std::string title; ///< markup
  Kind kind = Kind::text;
};

// Short names, since a table lists its columns in one place.
inline constexpr auto k_name = Column::Kind::name;
inline constexpr auto k_number = Column::Kind::number;
inline constexpr auto k_place = Column::Kind::place;
inline constexpr auto k_prose = Column::Kind::prose;
inline constexpr auto k_text = Column::Kind::text;

/// One cell. `value` is what it sorts by, where that is not its text.
struct Cell {
  std::string markup;
  std::optional<double> value = std::nullopt;
};

/// A number as a cell, three digits unless said otherwise: "0.00231", "n/a" for NaN.
[[nodiscard]] Cell number_cell(double value, int digits = 3);

/// A table with a caption and headings; the first cell of a row is its heading.
class Table {
public:
  /// `caption` is markup.
  Table(std::string caption, std::vector<Column> columns)
      : m_caption(std::move(caption)), m_columns(std::move(columns)) {}

  /// \pre as many cells as columns
  void add(const std::vector<Cell>& cells);
  [[nodiscard]] bool empty() const { return m_rows.empty(); }
  /// The table; its headings sort it, unless it is too short for that or an order that must stay.
  /// Empty without rows.
  [[nodiscard]] std::string markup(bool sorts = true) const;

private:
  std::string m_caption;
  std::vector<Column> m_columns;
  std::string m_rows;
  std::size_t m_count = 0;
};

} // namespace mla_scale::report::html
