#include "measure.hpp"

#include "fma_peak.hpp"

#include <mla_scale/core/parallel.hpp>
#include <mla_scale/reference/kernel_choice.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <utility>

using namespace mla_scale;

Spread spread_of(std::vector<double> values) {
  if (values.empty()) {
    return {};
  }
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double measure_peak(bool f32, unsigned threads) {
  const auto kernel = reference::chosen_kernel();
  const FmaPeak& peak = fma_peak_of(kernel ? (*kernel)->name : "");
  const auto loop = f32 ? peak.f32 : peak.f64;
  // In pieces that the threads share out among themselves, as the reference does with its work: a
  // processor that is busy with something else must not count for the peak alone.
  constexpr std::int64_t k_iterations = 100'000;
  const std::size_t pieces = std::size_t{32} * threads;
  double best = 0.0;
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::atomic<double> operations = 0.0;
    const double seconds = seconds_of([&] {
      parallel_for(pieces, threads, [&](std::size_t) { operations += loop(k_iterations); });
    });
    best = std::max(best, operations / seconds);
  }
  return best;
}

GroupResult measure(const Group& group, int rounds) {
  const std::size_t count = group.contenders.size();
  std::vector<std::vector<double>> rates(count);
  std::vector<std::vector<double>> shares(count);
  std::vector<std::vector<double>> ratios(count);
  for (int round = 0; round < rounds; ++round) {
    std::map<std::pair<bool, unsigned>, double> peaks;
    for (std::size_t i = 0; i < count; ++i) {
      const Contender& contender = group.contenders[i];
      if (group.against_peak) {
        // Once a round, shortly before the first contender that it is for.
        const auto [peak, fresh] = peaks.try_emplace({contender.against_f32, contender.threads});
        if (fresh) {
          peak->second = measure_peak(contender.against_f32, contender.threads);
        }
        rates[i].push_back(contender.work / seconds_of(contender.run));
        shares[i].push_back(rates[i].back() / peak->second);
      } else {
        rates[i].push_back(contender.work / seconds_of(contender.run));
      }
      ratios[i].push_back(rates[0].back() / rates[i].back());
    }
  }
  GroupResult result{group.name, group.unit, {}};
  for (std::size_t i = 0; i < count; ++i) {
    result.series.push_back({group.contenders[i].name, spread_of(rates[i]), spread_of(shares[i]),
                             i == 0 ? "" : group.contenders[0].name, spread_of(ratios[i])});
  }
  return result;
}
