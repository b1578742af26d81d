#include "check_command.hpp"

namespace mla_scale::cli {
namespace {

/// A file that is not taken for an option; "-" alone is standard input.
std::string as_file(const std::string& path) {
  return path.size() > 1 && path.front() == '-' ? "./" + path : path;
}

} // namespace

std::string shell_quoted(const std::string& argument) {
  const bool harmless =
      !argument.empty()
      && argument.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "_-+=./:,@%")
             == std::string::npos;
  if (harmless) {
    return argument;
  }
  std::string result = "'";
  for (const char c : argument) {
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return result + "'";
}

std::string check_command(const std::string& path, const std::vector<std::string>& captures) {
  std::string command = "mla-scale check " + shell_quoted(as_file(path));
  for (const std::string& capture : captures) {
    command += " " + shell_quoted(as_file(capture));
  }
  return command;
}

ExitCode exit_code_of(compare::Verdict verdict) {
  switch (verdict) {
  case compare::Verdict::match:
    return ExitCode::fine;
  case compare::Verdict::mismatch:
    return ExitCode::findings;
  case compare::Verdict::inconclusive:
    return ExitCode::inconclusive;
  }
  return ExitCode::bug;
}

} // namespace mla_scale::cli
