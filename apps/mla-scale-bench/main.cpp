#include "attention_suite.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

int main(int argc, char** argv) {
  unsigned threads = 2;
  int rounds = 3;
  bool base = false;
  int h = 16, s = 2048, d = 0;
  CLI::App app;
  app.add_option("--threads", threads);
  app.add_option("--rounds", rounds);
  app.add_flag("-b", base);
  app.add_option("-H", h);
  app.add_option("-S", s);
  app.add_option("-d", d);
  CLI11_PARSE(app, argc, argv);
  auto r = measure(d ? decode_group({h, d, s}, threads) : prefill_group({h, s, s}, threads, base),
                   rounds, threads);
  for (auto& x : r.series)
    fmt::print(
        "{:30} {:8.1f} GF/s [{:.1f},{:.1f}]  peak {:.1f}% [{:.1f},{:.1f}]  first/this {:.2f}\n",
        x.name, x.rate.median / 1e9, x.rate.least / 1e9, x.rate.most / 1e9, 100 * x.peak.median,
        100 * x.peak.least, 100 * x.peak.most, x.first.median);
}
