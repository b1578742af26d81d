#pragma once

#include "attention_suite.hpp"

#include <string>

/// How to start compare.py.
struct PythonScript {
  std::string python;
  std::string script;
  int seconds = 0; ///< after which it begins nothing more
};

/// The prefill of `ours`, a result of scaling_group(), by NumPy and PyTorch, each compared with
/// ours of the same precision on as many threads. Throws when the script does not run.
[[nodiscard]] GroupResult measure_python(const PythonScript& python, const AttentionShape& shape,
                                         int rounds, unsigned threads, const GroupResult& ours);
