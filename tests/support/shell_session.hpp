#pragma once

#include <map>
#include <string>
#include <vector>

/// Types `lines` into an interactive program on a pseudo-terminal, each when the prompt "READY>"
/// has come, and waits for its end. Returns all it printed. Gives up, and says so in what it
/// returns, when the program is silent for a minute. Throws without has_terminals().
std::string type_into(const std::vector<std::string>& command,
                      const std::vector<std::string>& lines, const std::string& directory,
                      const std::map<std::string, std::string>& environment);

/// True when the system gives out pseudo-terminals: a chroot without /dev/pts does not.
bool has_terminals();

/// True when `program` is found in PATH.
bool is_installed(const std::string& program);
