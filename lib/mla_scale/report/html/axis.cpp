#include <mla_scale/report/html/axis.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::report::html {
namespace {

constexpr int k_most_ticks = 64;
constexpr double k_edge = 1e-9; // of the range: a tick on the very end is inside

std::vector<double> linear_ticks(double low, double high, int count) {
  const double wanted = (high - low) / std::max(count, 1);
  const double power = std::pow(10.0, std::floor(std::log10(wanted)));
  const double step = wanted / power <= 2.0   ? 2.0 * power
                      : wanted / power <= 5.0 ? 5.0 * power
                                              : 10.0 * power;
  std::vector<double> result;
  const double slack = k_edge * (high - low);
  for (double at = std::ceil((low - slack) / step); at * step <= high + slack; ++at) {
    result.push_back(at == 0.0 ? 0.0 : at * step);
    if (result.size() >= k_most_ticks) {
      break;
    }
  }
  return result;
}

std::vector<double> powers_of_ten(double low, double high, int count) {
  const int first = static_cast<int>(std::ceil(std::log10(low) - k_edge));
  const int last = static_cast<int>(std::floor(std::log10(high) + k_edge));
  const int stride = std::max(1, (last - first + count) / std::max(count, 1));
  std::vector<double> result;
  for (int power = first; power <= last; power += stride) {
    result.push_back(std::pow(10.0, power));
  }
  return result;
}

} // namespace

double Axis::at(double value) const {
  const double clamped = std::clamp(value, low, high);
  const double share =
      logarithmic ? std::log(clamped / low) / std::log(high / low) : (clamped - low) / (high - low);
  return from + (to - from) * share;
}

std::vector<double> ticks(const Axis& axis, int count) {
  if (!(axis.high > axis.low) || !std::isfinite(axis.high - axis.low)) {
    return {};
  }
  if (!axis.logarithmic) {
    return linear_ticks(axis.low, axis.high, count);
  }
  std::vector<double> result = powers_of_ten(axis.low, axis.high, count);
  constexpr std::size_t k_enough = 3;
  return result.size() >= k_enough ? result : linear_ticks(axis.low, axis.high, count);
}

std::string grid(const Axis& axis, double left, double right,
                 const std::function<std::string(double)>& label) {
  constexpr int k_ticks = 5;
  std::string text;
  for (const double tick : ticks(axis, k_ticks)) {
    const double y = axis.at(tick);
    text += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/>"
                        "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                        left, y, right, left - 6, y + 4, label(tick));
  }
  return text;
}

std::size_t label_stride(std::size_t digits, double step) {
  constexpr double k_digit = 7.0;
  constexpr double k_gap = 6.0;
  return static_cast<std::size_t>(
      std::max(1.0, std::ceil((k_digit * static_cast<double>(digits) + k_gap) / step)));
}

std::string tick_label(double value) {
  return fmt::format("{:.4g}", value);
}

} // namespace mla_scale::report::html
