#include "python_suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace {

/// Standard output of a command. Throws when it fails.
std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    throw std::runtime_error("no process can be started");
  }
  std::string text;
  char piece[4096];
  for (std::size_t count = 0; (count = std::fread(piece, 1, sizeof piece, pipe)) > 0;) {
    text.append(piece, count);
  }
  if (::pclose(pipe) != 0) {
    throw std::runtime_error("the comparison with Python failed: " + command);
  }
  return text;
}

} // namespace

GroupResult measure_python(const PythonScript& python, const AttentionShape& shape, int rounds,
                           unsigned threads, const GroupResult& ours) {
  std::string counts;
  for (const unsigned count : thread_counts(threads)) {
    counts += fmt::format("{}{}", counts.empty() ? "" : ",", count);
  }
  std::fprintf(stderr, "the same in Python ...\n");
  std::istringstream lines(
      output_of(fmt::format("'{}' '{}' {} {} {} {} {}", python.python, python.script, shape.heads,
                            shape.queries, rounds, python.seconds, counts)));
  GroupResult result{
      fmt::format("Python, prefill H={} S={}", shape.heads, shape.queries), ours.unit, {}};
  // precision, threads, rates in FLOP/s (median, least, most), name: see compare.py.
  std::string precision;
  unsigned count = 0;
  Series series;
  while (lines >> precision >> count >> series.rate.median >> series.rate.least
         >> series.rate.most) {
    std::getline(lines >> std::ws, series.name);
    series.name += fmt::format(", {} thread{}", count, count == 1 ? "" : "s");
    series.compared_with = scaling_name(precision == "float32", count);
    const auto match = std::find_if(ours.series.begin(), ours.series.end(), [&](const Series& s) {
      return s.name == series.compared_with;
    });
    if (match == ours.series.end()) {
      throw std::runtime_error("compare.py answered for a number of threads not asked for");
    }
    series.ratio = {match->rate.median / series.rate.median, match->rate.least / series.rate.most,
                    match->rate.most / series.rate.least};
    result.series.push_back(series);
  }
  if (result.series.empty()) {
    throw std::runtime_error("compare.py printed no rates");
  }
  return result;
}
