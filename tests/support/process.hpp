#pragma once

#include <map>
#include <string>
#include <vector>

/// What a finished process left behind.
struct ProcessResult {
  int exit_code = -1; ///< 128 + signal when it was killed
  std::string out;
  std::string err;
};

/// Runs `program` with `arguments` in `directory`, feeding it `input`; the environment is ours plus
/// `environment`.
ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& directory, const std::string& input = {},
                          const std::map<std::string, std::string>& environment = {});

/// Splits a command line at blanks; single quotes keep blanks together.
std::vector<std::string> split_arguments(const std::string& line);
