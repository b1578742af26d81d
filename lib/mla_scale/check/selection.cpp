#include <mla_scale/check/selection.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mla_scale::check {
namespace {

Error usage(std::string message) {
  return {ErrorKind::usage, std::move(message), "", "", {}};
}

bool parse_number(std::string_view text, std::int64_t& number) {
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && last == end && !text.empty() && number >= 0;
}

} // namespace

Result<Selection> parse_selection(std::string_view text) {
  Selection selection;
  const std::string_view whole = text;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    std::pair<std::int64_t, std::int64_t> range;
    const bool first = parse_number(part.substr(0, dash), range.first);
    const bool last = dash == std::string_view::npos
                          ? (range.second = range.first, true)
                          : parse_number(part.substr(dash + 1), range.second);
    if (!first || !last || range.second < range.first) {
      return usage(fmt::format("'{}' is not a list of numbers and ranges such as 0,3,8-15",
                               escape_control(whole)));
    }
    selection.ranges.push_back(range);
    if (comma == std::string_view::npos) {
      return selection;
    }
    text.remove_prefix(comma + 1);
  }
}

Result<std::vector<std::int64_t>> choose(const Selection& selection, std::int64_t count,
                                         std::string_view what) {
  std::vector<bool> chosen(selection.ranges.empty() ? 0 : static_cast<std::size_t>(count), false);
  for (const auto& [first, last] : selection.ranges) {
    if (last >= count) {
      return usage(
          fmt::format("there is no {} {}: the capture has {}, counted from 0", what, last, count));
    }
    std::fill(chosen.begin() + first, chosen.begin() + last + 1, true);
  }
  std::vector<std::int64_t> indices;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]) {
      indices.push_back(static_cast<std::int64_t>(i));
    }
  }
  return indices;
}

} // namespace mla_scale::check
