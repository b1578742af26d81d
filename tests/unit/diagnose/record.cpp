#include "record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <support/catch.hpp>
#include <type_traits>
#include <variant>

namespace simulator {

namespace {

using namespace mla_scale;

using Blocks = std::map<std::string, std::vector<std::string>>;

constexpr std::string_view k_heading = "== ";

std::string words_of(const diagnose::Parameter& parameter) {
  return std::visit(
      [&](const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, double>) {
          return fmt::format(" {}={:.6g}", parameter.name, value);
        } else {
          return fmt::format(" {}={}", parameter.name, value);
        }
      },
      parameter.value);
}

std::string words_of(const std::vector<diagnose::Part>& parts) {
  std::string words;
  for (const auto& part : parts) {
    words += " " + part.id;
    for (const auto& parameter : part.parameters) {
      words += words_of(parameter);
    }
  }
  return words;
}

void append(const std::string& kind, const std::vector<diagnose::Finding>& findings,
            std::vector<std::string>& lines) {
  for (const auto& finding : findings) {
    lines.push_back(fmt::format("{} {} residual {:.6g}", kind, finding.id, finding.residual_ratio));
    for (const auto& parameter : finding.parameters) {
      lines.back() += words_of(parameter);
    }
    lines.push_back("evidence " + finding.evidence);
  }
}

Blocks read_blocks(const std::filesystem::path& path) {
  std::ifstream file(path);
  Blocks blocks;
  std::string name;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(k_heading)) {
      name = line.substr(k_heading.size());
      blocks[name] = {};
    } else {
      blocks[name].push_back(line);
    }
  }
  return blocks;
}

void write_blocks(const std::filesystem::path& path, const Blocks& blocks) {
  std::ofstream file(path);
  for (const auto& [name, lines] : blocks) {
    file << fmt::format("{}{}\n{}\n", k_heading, name, fmt::join(lines, "\n"));
  }
  REQUIRE(file.flush());
}

/// The end of the number that begins at `begin`; `begin` itself where none does.
std::size_t end_of_number(const std::string& text, std::size_t begin) {
  const bool signs = text[begin] == '-' && begin + 1 < text.size();
  if (std::isdigit(static_cast<unsigned char>(text[signs ? begin + 1 : begin])) == 0) {
    return begin;
  }
  char* end = nullptr;
  static_cast<void>(std::strtod(text.c_str() + begin, &end));
  return static_cast<std::size_t>(end - text.c_str());
}

/// One unit in the last place of a number as it is written; 0 of an integer.
double last_place(const std::string& number) {
  const auto point = number.find('.');
  if (point == std::string::npos) {
    return 0.0;
  }
  const auto exponent = std::min(number.find('e'), number.size());
  const double unit = std::pow(10.0, -static_cast<double>(exponent - point - 1));
  return exponent == number.size() ? unit
                                   : unit * std::pow(10.0, std::stod(number.substr(exponent + 1)));
}

bool same_number(const std::string& one, const std::string& other) {
  constexpr double k_relative = 1e-4;
  constexpr double k_absolute = 1e-6;
  const double expected = std::stod(one);
  return std::abs(std::stod(other) - expected)
         <= std::max(k_relative * std::abs(expected) + k_absolute, 1.01 * last_place(one));
}

bool alike(const std::string& one, const std::string& other) {
  std::size_t left = 0;
  std::size_t right = 0;
  while (left < one.size() && right < other.size()) {
    const auto left_end = end_of_number(one, left);
    const auto right_end = end_of_number(other, right);
    if (left_end > left && right_end > right) {
      if (!same_number(one.substr(left, left_end - left), other.substr(right, right_end - right))) {
        return false;
      }
      left = left_end;
      right = right_end;
    } else if (one[left++] != other[right++]) {
      return false;
    }
  }
  return left == one.size() && right == other.size();
}

} // namespace

std::string words_of(const diagnose::Explanation& explanation) {
  const auto& candidate = explanation.candidate;
  const auto& score = explanation.score;
  return fmt::format(
      "candidate{} |{} | cost {:.6g} effect {:.6g} distance {:.6g} +- {:.6g} | out {:.6g} fine "
      "{:.6g} worst head {:.6g} coarseness {:.6g} lse {:.6g}{} | total {:.6g}",
      words_of(candidate.parts), words_of(explanation.lse_parts), explanation.cost(),
      candidate.effect, candidate.distance, candidate.distance_error, score.out_ratio,
      score.fine_ratio, score.worst_head, score.coarseness, score.lse_ratio,
      explanation.lse_explained ? "" : " unexplained", explanation.total);
}

std::vector<std::string> lines_of(const diagnose::Report& report) {
  std::vector<std::string> lines = {fmt::format("{} null {:.6g} rows {} {}", first_of(report),
                                                report.null_ratio, report.sampled_rows,
                                                report.unexplained)};
  append("finding", report.findings, lines);
  append("note", report.notes, lines);
  for (const auto& one : report.considered) {
    lines.push_back(fmt::format("considered {} residual {:.6g} lse {:.6g} {} {}",
                                fmt::join(one.ids, " "), one.residual_ratio, one.lse_ratio,
                                one.holds ? "holds" : "fails", one.evidence));
  }
  for (const auto& place : report.map) {
    lines.push_back(fmt::format("place {} {} {} {:.6g}", place.head, place.first_row,
                                place.last_row, place.ratio));
  }
  return lines;
}

void check_record(const std::string& file, const std::string& name,
                  const std::vector<std::string>& lines) {
  const auto path = std::filesystem::path(TESTDATA) / "diagnosis" / (file + ".txt");
  auto blocks = read_blocks(path);
  if (std::getenv("MLA_SCALE_BLESS") != nullptr) {
    blocks[name] = lines;
    write_blocks(path, blocks);
    return;
  }
  const auto& expected = blocks[name];
  const auto [was, is] =
      std::mismatch(expected.begin(), expected.end(), lines.begin(), lines.end(), alike);
  if (was != expected.end() || is != lines.end()) {
    FAIL_CHECK(file << ", " << name << ", line " << was - expected.begin() + 1 << " was\n"
                    << (was == expected.end() ? "(nothing)" : *was) << "\nand is\n"
                    << (is == lines.end() ? "(nothing)" : *is)
                    << "\nMLA_SCALE_BLESS=1 records what is weighed now");
  }
}

} // namespace simulator
