// Diagnoses captures listed in a text file (tests/gpu/make_list.py writes it) and prints what was
// found beside what was injected. For people; the tests proper are beside it.

#include <mla_scale/diagnose/diagnose.hpp>

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace mla_scale;

struct Case {
  std::string file;
  std::string inputs;
  std::string bug;
  diagnose::Expectation expectation;
  double injected_scale = 0.0;
};

std::vector<double> numbers(const std::string& text) {
  std::vector<double> result;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    result.push_back(std::stod(part));
  }
  return result;
}

std::vector<Case> read_list(const std::string& path) {
  std::vector<Case> cases;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream fields(line);
    Case one;
    auto& e = one.expectation;
    double other = 0.0;
    int interleaved = 0;
    std::string frequencies;
    std::string plain;
    fields >> one.file >> one.inputs >> one.bug >> e.geometry.num_attention_heads
        >> e.geometry.qk_nope_head_dim >> e.geometry.qk_rope_head_dim >> e.geometry.v_head_dim
        >> e.geometry.kv_lora_rank >> e.softmax_scale >> e.base >> e.mscale >> other >> interleaved
        >> e.rotary.cos_sin_factor >> one.injected_scale >> frequencies >> plain;
    if (other > 0.0) {
      e.mscale_other_key = other;
    }
    e.rotary.interleaved = interleaved != 0;
    e.rotary.inverse_frequencies = numbers(frequencies);
    e.rotary.plain_inverse_frequencies = numbers(plain);
    cases.push_back(std::move(one));
  }
  return cases;
}

std::string value_text(const diagnose::Parameter& parameter) {
  return std::visit([](const auto& value) { return fmt::format("{}", value); }, parameter.value);
}

} // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::cerr << "usage: diagnose_sweep LIST [part of a name]\n";
    return 2;
  }
  auto cases = read_list(arguments[1]);
  const std::string filter = count > 2 ? arguments[2] : "";
  const bool verbose = count > 3;
  std::erase_if(cases, [&](const Case& one) { return one.file.find(filter) == std::string::npos; });
  std::vector<std::string> lines(cases.size());
  std::vector<int> verdicts(cases.size());
  std::vector<double> seconds(cases.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t at = next++; at < cases.size(); at = next++) {
      const auto& one = cases[at];
      const auto begin = std::chrono::steady_clock::now();
      const auto capture = tensor::read_capture({one.inputs, one.file}, one.expectation.geometry);
      std::string got;
      std::string more;
      if (!capture) {
        got = to_string(capture.error());
      } else {
        const auto problem = reference::make_problem(*capture, reference::Form::expanded,
                                                     one.expectation.softmax_scale,
                                                     one.expectation.geometry.qk_rope_head_dim);
        const auto report = problem ? diagnose::diagnose(*problem, *capture, one.expectation)
                                    : Result<diagnose::Report>(problem.error());
        if (!report) {
          got = to_string(report.error());
        } else {
          got = !report->findings.empty() ? report->findings[0].id
                : report->healthy         ? "healthy"
                                          : "unexplained";
          more = fmt::format("null {:.3g} {}", report->null_ratio, report->unexplained);
          for (const auto& finding : report->findings) {
            more += "\n      " + finding.id + ":";
            for (const auto& parameter : finding.parameters) {
              more += " " + parameter.name + "=" + value_text(parameter);
            }
            more += " | " + finding.evidence;
          }
          for (const auto& note : report->notes) {
            more += "\n      note " + note.id + " " + note.evidence;
          }
        }
      }
      seconds[at] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      verdicts[at] = got == one.bug ? 1 : 0;
      lines[at] = fmt::format("{} {} -> {} ({:.2f} s) {}", got == one.bug ? "ok  " : "MISS",
                              one.file.substr(one.file.rfind('/') + 1), got, seconds[at],
                              got == one.bug && !verbose ? "" : more);
    }
  };
  std::thread other(work);
  work();
  other.join();
  int right = 0;
  double slowest = 0.0;
  double sum = 0.0;
  for (std::size_t at = 0; at < cases.size(); ++at) {
    right += verdicts[at];
    slowest = std::max(slowest, seconds[at]);
    sum += seconds[at];
    if (verdicts[at] == 0 || verbose) {
      std::cout << lines[at] << "\n";
    }
  }
  std::cout << fmt::format("{} of {} right; {:.2f} s on average, {:.2f} s the slowest\n", right,
                           cases.size(), sum / static_cast<double>(cases.size()), slowest);
  return 0;
}
