#include "shell_session.hpp"

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr const char* k_prompt = "READY>";
constexpr int k_silence_ms = 60'000;

[[noreturn]] void become(const std::vector<std::string>& command, const std::string& directory,
                         const std::map<std::string, std::string>& environment) {
  for (const auto& [name, value] : environment) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> arguments;
  for (const std::string& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  if (::chdir(directory.c_str()) == 0) {
    ::execvp(arguments.front(), arguments.data());
  }
  ::_exit(127);
}

} // namespace

std::string type_into(const std::vector<std::string>& command,
                      const std::vector<std::string>& lines, const std::string& directory,
                      const std::map<std::string, std::string>& environment) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    become(command, directory, environment);
  }
  if (child < 0) {
    throw std::runtime_error("no pseudo-terminal is to be had"); // kill(-1) would end everything
  }
  std::string printed;
  std::size_t searched = 0;
  std::size_t next = 0;
  char buffer[4096];
  for (;;) {
    pollfd poller{terminal, POLLIN, 0};
    if (::poll(&poller, 1, k_silence_ms) <= 0) {
      printed += "\n[silent for a minute; given up]\n";
      ::kill(child, SIGKILL);
      break;
    }
    const ssize_t count = ::read(terminal, buffer, sizeof buffer);
    if (count <= 0) { // the terminal is closed: the program has ended
      break;
    }
    printed.append(buffer, static_cast<std::size_t>(count));
    const std::size_t prompt = printed.find(k_prompt, searched);
    if (prompt != std::string::npos && next < lines.size()) {
      searched = printed.size();
      const std::string line = lines[next++] + "\n";
      if (::write(terminal, line.data(), line.size()) < 0) {
        break;
      }
    }
  }
  ::close(terminal);
  int status = 0;
  ::waitpid(child, &status, 0);
  return printed;
}

bool has_terminals() {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) {
    return false;
  }
  ::close(master);
  ::close(slave);
  return true;
}

bool is_installed(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path == nullptr ? "" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    if (::access((std::filesystem::path(directory) / program).c_str(), X_OK) == 0) {
      return true;
    }
  }
  return false;
}
