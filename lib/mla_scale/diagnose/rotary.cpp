#include <mla_scale/diagnose/rotary.hpp>

#include <cmath>
#include <cstddef>

namespace mla_scale::diagnose {

std::string_view to_string(Pairing pairing) {
  switch (pairing) {
  case Pairing::interleaved:
    return "interleaved";
  case Pairing::halves:
    return "halves";
  case Pairing::mixed:
    return "interleaved pairs with cosines laid out for halves";
  }
  return "";
}

std::vector<double> rotate(std::span<const double> vector, double position,
                           const Rotation& rotation) {
  std::vector<double> result(vector.begin(), vector.end());
  const std::size_t half = vector.size() / 2;
  for (double& value : result) {
    value *= rotation.factor;
  }
  const double place = position + rotation.shift;
  for (std::size_t pair = 0; pair < half && !rotation.frequencies.empty(); ++pair) {
    const bool halves = rotation.pairing == Pairing::halves;
    const std::size_t first = halves ? pair : 2 * pair;
    const std::size_t second = halves ? pair + half : 2 * pair + 1;
    const bool mixed = rotation.pairing == Pairing::mixed;
    const double angle_first = place * rotation.frequencies[mixed ? first % half : pair];
    const double angle_second = place * rotation.frequencies[mixed ? second % half : pair];
    const double a = vector[first] * rotation.factor;
    const double b = vector[second] * rotation.factor;
    result[first] = a * std::cos(angle_first) - b * std::sin(angle_first);
    result[second] = b * std::cos(angle_second) + a * std::sin(angle_second);
  }
  if (rotation.to_halves) {
    const auto pairs = result;
    for (std::size_t column = 0; column < pairs.size(); ++column) {
      result[column % 2 * half + column / 2] = pairs[column];
    }
  }
  return result;
}

} // namespace mla_scale::diagnose
