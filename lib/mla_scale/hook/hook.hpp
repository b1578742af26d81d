#pragma once

#include <span>
#include <string_view>

namespace mla_scale::hook {

/// A Python file that captures, inside an engine, what `check` reads (tensor/capture.hpp).
struct Hook {
  std::string_view engine;   ///< as users type it
  std::string_view captures; ///< what it writes and by wrapping what
  std::string_view tried;    ///< on what it has run
  std::string_view python;   ///< the whole file; needs torch and safetensors only
};

/// One row an engine. The Python of each is a file beside this one, put together with
/// capture_writer.py when the build is configured.
[[nodiscard]] std::span<const Hook> hooks();

/// The row of an engine, or nullptr.
[[nodiscard]] const Hook* find_hook(std::string_view engine);

/// The engine whose name looks most like `engine`, or an empty view.
[[nodiscard]] std::string_view nearest_hook(std::string_view engine);

} // namespace mla_scale::hook
