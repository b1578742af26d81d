#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/diagnose/rotary.hpp>

#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// Shifts of positions up to this are tried one by one.
constexpr int k_largest_shift = 320;

/// A way of bugs to rotate q and k.
struct RopeVariant {
  std::string id;
  std::string text;
  Rotation query;
  Rotation key;
  std::vector<Parameter> parameters;
  double cost = 1.0;
  bool restart = false; ///< positions begin again at 0 behind the prefix
};

/// Those without a number to fit, given the rotation that is right, likeliest first of each id.
[[nodiscard]] std::vector<RopeVariant> rope_variants(const Rotary& rotary, const Rotation& right);

} // namespace mla_scale::diagnose
