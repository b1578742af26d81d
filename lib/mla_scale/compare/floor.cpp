#include <mla_scale/compare/floor.hpp>
#include <mla_scale/compare/kernel_softmax.hpp>
#include <mla_scale/compare/value_average.hpp>
#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <utility>

namespace mla_scale::compare {
namespace {

using reference::Problem;

const Recipe k_exact; // rounds nothing

double largest_logit(const RowSample& sample, double scale) {
  double largest = 0.0;
  for (std::size_t j = 0; j < sample.nope.size(); ++j) {
    largest = std::max(largest, std::abs(scale * (sample.nope[j] + sample.rope[j])));
  }
  return largest;
}

/// The error of a row's out over the size of the exact one; all 0 when that vanishes.
struct Along {
  double exact = 0.0; ///< |exact|²
  double error = 0.0; ///< |rounded kernel - exact| / |exact|
  double bias = 0.0;  ///< what of it lies along the exact one
};

Along error_along(Rounding output, std::span<const double> kernel, std::span<const double> exact) {
  Along along;
  double error = 0.0;
  double product = 0.0;
  for (std::size_t c = 0; c < exact.size(); ++c) {
    const double difference = round_to(output, kernel[c]) - exact[c];
    error += difference * difference;
    product += difference * exact[c];
    along.exact += exact[c] * exact[c];
  }
  if (along.exact > 0.0) {
    along.error = std::sqrt(error / along.exact);
    along.bias = product / along.exact;
  }
  return along;
}

/// Levels, by their place in a list, whose kernels see the same logits.
struct SameLogits {
  InputRounding input; ///< of which query and key count
  std::vector<std::size_t> levels;

  [[nodiscard]] bool are_rounded() const {
    return input.query != Rounding::none || input.key != Rounding::none;
  }
};

std::vector<SameLogits> by_logits(const std::vector<Recipe>& recipes) {
  std::vector<SameLogits> groups;
  for (std::size_t level = 0; level < recipes.size(); ++level) {
    const InputRounding& input = recipes[level].input;
    auto same = std::find_if(groups.begin(), groups.end(), [&](const SameLogits& group) {
      return group.input.query == input.query && group.input.key == input.key;
    });
    if (same == groups.end()) {
      same = groups.insert(groups.end(), {input, {}});
    }
    same->levels.push_back(level);
  }
  return groups;
}

/// The floors of several levels, filled in as their kernels are simulated.
class Simulation {
public:
  Simulation(const Problem& problem, const std::vector<RowSample>& samples,
             const std::vector<Level>& levels, const ComputeDtypes& dtypes)
      : m_problem(problem), m_samples(samples), m_dtypes(dtypes),
        m_floors(levels.size(), std::vector<RowFloor>(samples.size())) {
    for (const Level level : levels) {
      m_recipes.push_back(recipe_for(level, dtypes, problem.form));
    }
  }

  std::vector<std::vector<RowFloor>> run() {
    m_exact = softmaxes(m_samples, k_exact);
    m_sum_noise.resize(m_samples.size());
    each_sample([&](std::size_t i) { m_sum_noise[i] = sum_noise(m_samples[i]); });
    for (const SameLogits& group : by_logits(m_recipes)) {
      if (!group.are_rounded()) {
        add_group(group.levels, m_samples);
        continue;
      }
      std::vector<HeadRow> rows;
      for (const RowSample& sample : m_samples) {
        rows.emplace_back(sample.head, sample.row);
      }
      add_group(group.levels, sample_logits(m_problem, rows, group.input));
    }
    return std::move(m_floors);
  }

private:
  void each_sample(const std::function<void(std::size_t)>& body) const {
    parallel_for(m_samples.size(), static_cast<unsigned>(m_problem.threads), body);
  }

  [[nodiscard]] std::vector<KernelSoftmax> softmaxes(const std::vector<RowSample>& samples,
                                                     const Recipe& recipe) const {
    std::vector<KernelSoftmax> found(samples.size());
    each_sample([&](std::size_t i) { found[i] = {samples[i], m_problem.softmax_scale, recipe}; });
    return found;
  }

  static ValueAverage average_of(const std::vector<KernelSoftmax>& softmaxes,
                                 const InputRounding& input) {
    return {input.value, input.average,
            [&softmaxes](std::size_t sample, std::size_t first, std::span<double> weights) {
              softmaxes[sample].weigh(first, weights);
            }};
  }

  /// Simulates the kernels of levels that see these logits. Reads the values once.
  void add_group(const std::vector<std::size_t>& levels, const std::vector<RowSample>& seen) {
    std::vector<std::vector<KernelSoftmax>> kernels;
    for (const std::size_t level : levels) {
      kernels.push_back(softmaxes(seen, m_recipes[level]));
    }
    std::vector<ValueAverage> wanted;
    if (m_exact_out.empty()) {
      wanted.push_back(average_of(m_exact, {}));
    }
    for (std::size_t i = 0; i < levels.size(); ++i) {
      wanted.push_back(average_of(kernels[i], m_recipes[levels[i]].input));
    }
    std::vector<std::vector<double>> averages = average_values(m_problem, m_samples, wanted);
    if (m_exact_out.empty()) {
      m_exact_out = std::move(averages.front());
      averages.erase(averages.begin());
    }
    for (std::size_t i = 0; i < levels.size(); ++i) {
      add_out(averages[i], m_floors[levels[i]]);
    }
    add_lse(levels, seen, kernels);
  }

  /// Of float32 sums.
  [[nodiscard]] double sum_noise(const RowSample& sample) const {
    return (tensor::is_float8(m_dtypes.input) ? 0x1p-12 : 0x1p-21)
           * (1.0 + largest_logit(sample, m_problem.softmax_scale));
  }

  void add_out(const std::vector<double>& kernel, std::vector<RowFloor>& floors) const {
    const auto width = static_cast<std::size_t>(m_problem.v_width());
    for (std::size_t i = 0; i < floors.size(); ++i) {
      const Along along =
          error_along(rounding_of(m_dtypes.output), std::span(kernel).subspan(width * i, width),
                      std::span(m_exact_out).subspan(width * i, width));
      floors[i].out = along.exact > 0.0 ? std::hypot(along.error, m_sum_noise[i]) : 0.0;
      floors[i].bias = along.bias;
    }
  }

  void add_lse(const std::vector<std::size_t>& levels, const std::vector<RowSample>& seen,
               const std::vector<std::vector<KernelSoftmax>>& kernels) {
    each_sample([&](std::size_t row) {
      std::vector<double> probabilities(m_samples[row].nope.size());
      m_exact[row].weigh(0, probabilities);
      for (std::size_t i = 0; i < levels.size(); ++i) {
        const double error = kernels[i][row].lse() - m_exact[row].lse();
        const double noise =
            lse_noise(seen[row], m_problem.softmax_scale, probabilities, m_recipes[levels[i]]);
        m_floors[levels[i]][row].lse = std::max(std::hypot(error, m_sum_noise[row]), noise);
      }
    });
  }

  const Problem& m_problem;
  const std::vector<RowSample>& m_samples;
  ComputeDtypes m_dtypes;
  std::vector<Recipe> m_recipes;
  std::vector<std::vector<RowFloor>> m_floors; // [level][sample]
  std::vector<double> m_sum_noise;             // of each sample
  std::vector<KernelSoftmax> m_exact;
  std::vector<double> m_exact_out; // [samples, v_head_dim]
};

} // namespace

std::vector<std::vector<RowFloor>> simulate_floors(const Problem& problem,
                                                   const std::vector<RowSample>& samples,
                                                   const std::vector<Level>& levels,
                                                   const ComputeDtypes& dtypes) {
  return Simulation(problem, samples, levels, dtypes).run();
}

} // namespace mla_scale::compare
