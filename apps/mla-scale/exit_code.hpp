#pragma once

namespace mla_scale::cli {

/// The same for every command and every format. Never renumber: people's CI depends on them.
enum class ExitCode : int {
  fine = 0,     ///< nothing to complain about
  findings = 1, ///< findings at or above --fail-on, a mismatch, or drift
  usage = 2,    ///< wrong command line
  input = 3,    ///< an input is missing, unreadable, malformed or cannot be judged; or an output
                ///< cannot be written
  inconclusive = 4, ///< the capture cannot tell
  bug = 70,         ///< a bug in this program
};

} // namespace mla_scale::cli
