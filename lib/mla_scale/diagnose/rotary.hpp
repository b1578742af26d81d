#pragma once

#include <mla_scale/diagnose/expectation.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// Which two columns are rotated together, and by which frequency.
enum class Pairing {
  interleaved, ///< columns (2i, 2i+1), frequency i
  halves,      ///< columns (i, i + R/2), frequency i
  mixed,       ///< columns (2i, 2i+1) with cosines laid out for halves
};

[[nodiscard]] std::string_view to_string(Pairing pairing);

/// One way to rotate, as a bug may have it.
struct Rotation {
  Pairing pairing = Pairing::halves;
  std::vector<double> frequencies; ///< [R/2]; empty: not rotated
  double factor = 1.0;
  double shift = 0.0; ///< added to the position
  /// Columns (2i, 2i+1) of the result stand at (i, i + R/2), as code that permutes before a
  /// rotation by halves leaves them.
  bool to_halves = false;
};

/// The rotated vector, laid out so that equal layouts of q and k give the right inner product.
[[nodiscard]] std::vector<double> rotate(std::span<const double> vector, double position,
                                         const Rotation& rotation);

} // namespace mla_scale::diagnose
