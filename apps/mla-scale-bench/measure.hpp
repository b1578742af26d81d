#pragma once

#include <functional>
#include <string>
#include <vector>

/// Something whose speed is measured: `run` does `work` units of work.
struct Contender {
  std::string name;
  double work = 0.0;
  std::function<void()> run;
  bool against_f32 = false; ///< which peak it is compared with
  unsigned threads = 1;     ///< that it uses, and that the peak is measured on
};

/// Contenders for the same work, measured in turn in each round, so that a slow spell of the
/// machine hits all of them. The first is the one that the others are compared with.
struct Group {
  std::string name;
  std::string unit; ///< of work a second
  std::vector<Contender> contenders;
  bool against_peak = false;
};

/// Values of several rounds.
struct Spread {
  double median = 0.0;
  double least = 0.0;
  double most = 0.0;
};

[[nodiscard]] Spread spread_of(std::vector<double> values);

struct Series {
  std::string name;
  Spread rate; ///< units of work a second
  Spread peak; ///< share of the peak of as many threads in the same round; zeros without one
  std::string compared_with; ///< the series that `ratio` is about; empty: none
  Spread ratio;              ///< that series' rate over this one's, in the same round
};

struct GroupResult {
  std::string name;
  std::string unit;
  std::vector<Series> series;
};

/// Peak of multiply-adds on `threads` threads at once, in operations a second.
[[nodiscard]] double measure_peak(bool f32, unsigned threads);

[[nodiscard]] double seconds_of(const std::function<void()>& run);

[[nodiscard]] GroupResult measure(const Group& group, int rounds);
