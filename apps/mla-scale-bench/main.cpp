#include "attention_suite.hpp"
#include "output.hpp"
#include "program_suite.hpp"
#include "python_suite.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/reference/kernel_choice.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <thread>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

struct Options {
  unsigned threads = 0;
  int rounds = 5;
  bool smoke = false;
  std::string only;
  std::string python;
  std::string script;
  int python_seconds = 120;
  std::string json;
  std::string svg;
  std::string tool;
  std::string model;
};

/// Keeps freed memory instead of returning it to the system: baselines that allocate in each run
/// would be measured by their page faults.
void keep_freed_memory() {
#if defined(__GLIBC__)
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

class Bench {
public:
  explicit Bench(Options options) : m_options(std::move(options)) {}

  void run();

private:
  void attention();
  void scaling();
  void costs();
  void programs();
  [[nodiscard]] bool wanted(std::string_view kind) const {
    return m_options.only.empty() || m_options.only == kind;
  }
  void add(const Group& group) {
    std::fprintf(stderr, "%s ...\n", group.name.c_str());
    m_groups.push_back(measure(group, m_options.rounds));
  }

  Options m_options;
  std::vector<GroupResult> m_groups;
  std::vector<CostPoint> m_costs;
};

void Bench::attention() {
  const unsigned threads = m_options.threads;
  if (m_options.smoke) {
    add(prefill_group({2, 300, 300}, threads, true));
    add(latent_prefill_group({2, 300, 300}, threads));
    add(decode_group({4, 3, 300}, threads));
    add(sampled_rows_group({4, 3, 300}, threads));
    return;
  }
  add(prefill_group({16, 2048, 2048}, threads, true));
  add(prefill_group({128, 2048, 2048}, threads, true));
  add(prefill_group({16, 8192, 8192}, threads, true));
  add(latent_prefill_group({16, 2048, 2048}, threads));
  add(latent_prefill_group({128, 2048, 2048}, threads));
  add(decode_group({128, 64, 8192}, threads));
  add(sampled_rows_group({128, 192, 16384}, threads));
}

/// Ours on each number of threads and, with --python, NumPy and PyTorch on as many.
void Bench::scaling() {
  const std::vector<AttentionShape> shapes =
      m_options.smoke ? std::vector<AttentionShape>{{2, 300, 300}}
                      : std::vector<AttentionShape>{{16, 2048, 2048}, {128, 2048, 2048}};
  for (const AttentionShape& shape : shapes) {
    add(scaling_group(shape, m_options.threads));
    if (!m_options.python.empty()) {
      const GroupResult ours = m_groups.back();
      m_groups.push_back(
          measure_python({m_options.python, m_options.script, m_options.python_seconds}, shape,
                         m_options.rounds, m_options.threads, ours));
    }
  }
}

void Bench::costs() {
  const std::vector<std::int64_t> lengths =
      m_options.smoke ? std::vector<std::int64_t>{128, 256}
                      : std::vector<std::int64_t>{256, 512, 1024, 2048, 4096, 8192};
  for (const std::int64_t heads : {1, 16}) {
    for (const unsigned threads : thread_counts(m_options.threads)) {
      for (const std::int64_t length : lengths) {
        Group group = prefill_group({heads, length, length}, threads, false);
        group.contenders.resize(1); // float64 on all threads
        group.against_peak = false;
        const GroupResult result = measure(group, m_options.smoke ? 1 : 3);
        const double rate = result.series.front().rate.most;
        m_costs.push_back({heads, length, threads, group.contenders.front().work / rate, rate});
      }
    }
  }
}

void Bench::programs() {
  if (m_options.model.empty()) {
    return;
  }
  const ManyConfigs configs(m_options.model, m_options.smoke ? 50 : 10000);
  add(configs_group(configs, m_options.threads, m_options.tool));
  if (!m_options.tool.empty()) {
    add(startup_group(m_options.tool, m_options.model));
  }
}

void Bench::run() {
  const auto kernel = mla_scale::reference::chosen_kernel();
  if (!kernel) {
    throw std::runtime_error(to_string(kernel.error()));
  }
  const Setting setting{(*kernel)->name, m_options.threads, measure_peak(false, m_options.threads),
                        measure_peak(true, m_options.threads)};
  if (wanted("attention")) {
    attention();
  }
  if (wanted("scaling")) {
    scaling();
  }
  if (wanted("programs")) {
    programs();
  }
  if (wanted("costs")) {
    costs();
  }
  std::fputs(text_of(setting, m_groups).c_str(), stdout);
  if (!m_costs.empty()) {
    std::fputs(("\n" + text_of(m_costs)).c_str(), stdout);
  }
  for (const auto& [path, text] : {std::pair(m_options.json, json_of(setting, m_groups, m_costs)),
                                   std::pair(m_options.svg, svg_of(m_costs))}) {
    if (!path.empty()) {
      if (const auto written = mla_scale::write_file(path, text); !written) {
        throw std::runtime_error(to_string(written.error()));
      }
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  Options options;
  options.threads = std::max(1U, std::thread::hardware_concurrency());
  CLI::App app{"Measures mla-scale against what the machine can do, and against other ways to "
               "compute the same."};
  app.add_option("--threads", options.threads, "Threads (all processors)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--rounds", options.rounds, "Rounds of each group (5)")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--smoke", options.smoke, "Tiny sizes: only shows that everything runs");
  app.add_option("--only", options.only,
                 "One kind of measurement: attention, scaling, programs or costs")
      ->check(CLI::IsMember({"attention", "scaling", "programs", "costs"}));
  app.add_option("--model", options.model, "Model directory for the config measurements");
  app.add_option("--tool", options.tool,
                 "The mla-scale program, to measure its start and its reports");
  app.add_option("--python", options.python, "Python with NumPy or PyTorch to compare with");
  app.add_option("--script", options.script, "compare.py of this directory");
  app.add_option("--python-seconds", options.python_seconds,
                 "Seconds after which Python begins nothing more, for each size (120)")
      ->check(CLI::Range(1, 100000));
  app.add_option("--json", options.json, "Write the numbers to this file");
  app.add_option("--svg", options.svg, "Write a plot of how cost grows to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    Bench(std::move(options)).run();
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "mla-scale-bench: %s\n", exception.what());
    return 1;
  }
  return 0;
}
