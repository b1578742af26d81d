#pragma once

#include <string_view>

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

/// One exit code as --help and the manual page print it.
struct ExitCodeMeaning {
  ExitCode code;
  std::string_view brief;
  std::string_view meaning;
};

inline constexpr ExitCodeMeaning k_exit_codes[] = {
    {ExitCode::fine, "fine", "Nothing to complain about."},
    {ExitCode::findings, "findings, mismatch or drift",
     "Findings at or above --fail-on, a capture that does not match the reference, or drift from "
     "the snapshot."},
    {ExitCode::usage, "wrong usage", "The command line asks for something that does not exist."},
    {ExitCode::input, "an input cannot be read or judged",
     "An input is missing, unreadable, malformed or without Multi-head Latent Attention; or an "
     "output cannot be written."},
    {ExitCode::inconclusive, "inconclusive", "The capture cannot tell right from wrong."},
    {ExitCode::bug, "a bug in mla-scale", "A bug in the program. Please report it."},
};

} // namespace mla_scale::cli
