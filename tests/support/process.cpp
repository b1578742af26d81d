#include "support/process.hpp"

#include "support/temp_dir.hpp"
#include "support/text.hpp"

#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& directory, const std::string& input,
                          const std::map<std::string, std::string>& environment) {
  const TempDir dir;
  std::ofstream(dir / "in", std::ios::binary) << input;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto redirect = [&](const char* name, int flags, int to) {
      const int descriptor = ::open((dir / name).c_str(), flags, 0600);
      ::dup2(descriptor, to);
      ::close(descriptor);
    };
    redirect("in", O_RDONLY, STDIN_FILENO);
    redirect("out", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    redirect("err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    for (const auto& [name, value] : environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& argument : arguments) {
      argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    if (::chdir(directory.c_str()) == 0) {
      ::execv(program.c_str(), argv.data());
    }
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ProcessResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = slurp(dir / "out");
  result.err = slurp(dir / "err");
  return result;
}

std::vector<std::string> split_arguments(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false;
  bool any = false;
  for (const char c : line) {
    if (c == '\'') {
      quoted = !quoted;
      any = true;
    } else if (c == ' ' && !quoted) {
      if (any) {
        words.push_back(word);
      }
      word.clear();
      any = false;
    } else {
      word += c;
      any = true;
    }
  }
  if (any) {
    words.push_back(word);
  }
  return words;
}
