#include "output.hpp"

#include <mla_scale/json/writer.hpp>

#include <fmt/format.h>

#include <string_view>

using mla_scale::json::Writer;

namespace {

/// 1.23e9 of "FLOP" as "1.23 GFLOP/s".
std::string rate_text(double rate, std::string_view unit) {
  if (unit == "FLOP") {
    return fmt::format("{:.1f} GFLOP/s", rate * 1e-9);
  }
  return fmt::format("{:.0f} {}/s", rate, unit);
}

void write(Writer& json, std::string_view name, const Spread& spread) {
  json.key(name).begin_object();
  json.member("median", spread.median).member("min", spread.least).member("max", spread.most);
  json.end_object();
}

} // namespace

std::string text_of(const Setting& setting, const std::vector<GroupResult>& groups) {
  std::string text = fmt::format(
      "kernel {}, {} threads; peak of multiply-adds {:.0f} GFLOP/s in float64, {:.0f} in float32\n"
      "median [least, most] of the rounds; ratios are of numbers from the same round\n",
      setting.kernel, setting.threads, setting.peak_f64 * 1e-9, setting.peak_f32 * 1e-9);
  for (const GroupResult& group : groups) {
    text += fmt::format("\n{}\n", group.name);
    for (const Series& series : group.series) {
      text +=
          fmt::format("  {:<32} {:>16}", series.name, rate_text(series.rate.median, group.unit));
      if (series.peak.median > 0.0) {
        text += fmt::format("  {:3.0f} % [{:.0f}, {:.0f}] of peak", 100 * series.peak.median,
                            100 * series.peak.least, 100 * series.peak.most);
      }
      if (!series.compared_with.empty()) {
        text += fmt::format("  {} is {:.2f} [{:.2f}, {:.2f}] times as fast", series.compared_with,
                            series.ratio.median, series.ratio.least, series.ratio.most);
      }
      text += "\n";
    }
  }
  return text;
}

std::string text_of(const std::vector<CostPoint>& costs) {
  std::string text = "| heads | S | threads | seconds | GFLOP/s |\n|---|---|---|---|---|\n";
  for (const CostPoint& cost : costs) {
    text += fmt::format("| {} | {} | {} | {:.4f} | {:.0f} |\n", cost.heads, cost.length,
                        cost.threads, cost.seconds, cost.rate * 1e-9);
  }
  return text;
}

std::string json_of(const Setting& setting, const std::vector<GroupResult>& groups,
                    const std::vector<CostPoint>& costs) {
  Writer json;
  json.begin_object().member("schema_version", 1).member("kernel", setting.kernel);
  json.member("threads", static_cast<std::int64_t>(setting.threads));
  json.member("peak_f64", setting.peak_f64).member("peak_f32", setting.peak_f32);
  json.key("groups").begin_array();
  for (const GroupResult& group : groups) {
    json.begin_object().member("name", group.name).member("unit", group.unit + "/s");
    json.key("series").begin_array();
    for (const Series& series : group.series) {
      json.begin_object().member("name", series.name);
      write(json, "rate", series.rate);
      if (series.peak.median > 0.0) {
        write(json, "share_of_peak", series.peak);
      }
      if (!series.compared_with.empty()) {
        json.member("compared_with", series.compared_with);
        write(json, "ratio", series.ratio);
      }
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().key("costs").begin_array();
  for (const CostPoint& cost : costs) {
    json.begin_object().member("heads", cost.heads).member("length", cost.length);
    json.member("threads", static_cast<std::int64_t>(cost.threads));
    json.member("seconds", cost.seconds).member("flops", cost.rate).end_object();
  }
  json.end_array().end_object();
  return json.finish();
}
