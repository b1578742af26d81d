#include "support/catch.hpp"

#include <mla_scale/report/check_report.hpp>

#include <limits>

using namespace mla_scale;
using namespace mla_scale::report;

namespace {

compare::TensorComparison tensor_of(std::int64_t heads, std::int64_t buckets) {
  compare::TensorComparison tensor;
  tensor.name = "out";
  for (std::int64_t head = 0; head < heads; ++head) {
    tensor.by_head.push_back({head, head, 0, 0, 0, 0, false});
  }
  for (std::int64_t bucket = 0; bucket < buckets; ++bucket) {
    tensor.by_position.push_back({bucket * 128, bucket * 128 + 127, 0, 0, 0, 0, false});
  }
  tensor.map.assign(static_cast<std::size_t>(heads * buckets), 1.0);
  return tensor;
}

} // namespace

TEST_CASE("the map shows each cell's error in floors", "[report]") {
  compare::TensorComparison tensor = tensor_of(2, 5);
  tensor.map = {1.0, 2.0, 10.0, 100.0, -1.0,
                0.0, 1.0, 1.0,  1.0,   std::numeric_limits<double>::infinity()};
  CHECK(check_map(tensor, 16, {80, false})
        == "    position   0 128 256 384 512\n"
           "    head 0     .   +   x   #    \n"
           "    head 1     .   .   .   .   !\n");
}

TEST_CASE("many heads share lines and many positions fit the width", "[report]") {
  compare::TensorComparison tensor = tensor_of(128, 16);
  tensor.map[127 * 16 + 3] = 50.0;
  const std::string map = check_map(tensor, 16, {60, false});
  CHECK(std::count(map.begin(), map.end(), '\n') == 17);
  CHECK(std::count(map.begin(), map.end(), '#') == 1);
  CHECK(map.find("120-127") != std::string::npos);
  for (std::size_t first = 0; first < map.size();) {
    const std::size_t last = map.find('\n', first);
    CHECK(last - first <= 60);
    first = last + 1;
  }
}

TEST_CASE("16 position ranges fit a narrow terminal", "[report]") {
  const std::string map = check_map(tensor_of(4, 16), 16, {40, false});
  CHECK(std::count(map.begin(), map.end(), '.') == 64);
  for (std::size_t first = 0; first < map.size();) {
    const std::size_t last = map.find('\n', first);
    CHECK(last - first <= 40);
    first = last + 1;
  }
}

TEST_CASE("JUnit escapes what a file may hold", "[report]") {
  CheckReport report;
  report.model.model.path = "a\"<&>\x1B.json";
  report.check.judgement.verdict = compare::Verdict::mismatch;
  report.check.judgement.tensors.push_back(tensor_of(1, 1));
  report.check.judgement.tensors.back().status = compare::Status::mismatch;
  report.check.judgement.tensors.back().reasons = {"1 < 2"};
  const std::string xml = check_junit(report);
  CHECK(xml.find("classname=\"a&quot;&lt;&amp;&gt;\\x1b.json\"") != std::string::npos);
  CHECK(xml.find("tests=\"2\" failures=\"2\" errors=\"0\" skipped=\"0\"") != std::string::npos);
  CHECK(xml.find("1 &lt; 2") != std::string::npos);
}

TEST_CASE("JUnit says why a capture mismatches though each of its tensors matches", "[report]") {
  CheckReport report;
  report.check.judgement.verdict = compare::Verdict::mismatch;
  report.check.judgement.tensors.push_back(tensor_of(1, 1));
  report.check.judgement.tensors.back().status = compare::Status::match;
  report.check.judgement.reasons = {"the errors follow a bug"};
  const std::string xml = check_junit(report);
  CHECK(xml.find("tests=\"2\" failures=\"1\"") != std::string::npos);
  CHECK(xml.find("<failure message=\"mismatch\">the errors follow a bug\n") != std::string::npos);
}

TEST_CASE("a tensor that nothing was held against is skipped, and has no numbers", "[report]") {
  CheckReport report;
  report.check.judgement.verdict = compare::Verdict::inconclusive;
  report.check.judgement.tensors.push_back(tensor_of(1, 1));
  report.check.judgement.tensors.back().status = compare::Status::not_judged;
  const std::string xml = check_junit(report);
  CHECK(xml.find("skipped message=\"not_judged\"") != std::string::npos);
  const std::string text = check_text(report, {80, false});
  INFO(text);
  CHECK(text.find("out       not_judged\n") != std::string::npos);
}
