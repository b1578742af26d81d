#pragma once

namespace mla_scale::cli {

/// Parses the command line and runs the command. Returns the exit code of the process.
[[nodiscard]] int run(int argc, char** argv);

} // namespace mla_scale::cli
