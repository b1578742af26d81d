#pragma once

namespace mla_scale::cli {

/// Makes the world of this process safe to work in, before anything else is done:
/// - closed standard streams stay closed for us, but no file that we open takes their numbers;
/// - a reader that goes away (SIGPIPE) and a limit on file sizes (SIGXFSZ) are errors of the write,
///   not the end of the program: other outputs are still written, no half-written file stays;
/// - an input cut short while it is mapped (SIGBUS) ends with one line and ExitCode::input;
/// - Ctrl-C ends the program at once and leaves no half-written file;
/// - a crash ends with one line and ExitCode::bug.
void prepare_process();

/// Runs the program; what it throws becomes one line on standard error and the exit code:
/// ExitCode::input where memory ran out, ExitCode::bug otherwise. Also when standard output,
/// written by whatever means, did not reach its end.
int guarded(int (*run)(int argc, char** argv), int argc, char** argv);

} // namespace mla_scale::cli
