#include "program_suite.hpp"

#include <mla_scale/core/file.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/json/document.hpp>
#include <mla_scale/model/load.hpp>
#include <mla_scale/report/inspection.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mla_scale;
namespace fs = std::filesystem;

namespace {

constexpr int k_starts = 50;
constexpr std::size_t k_most_bytes = 1 << 20U;

void start(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failed =
      ::posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (failed != 0 || ::waitpid(child, &status, 0) != child || status != 0) {
    throw std::runtime_error("cannot run " + command.front());
  }
}

Contender starts(std::string name, std::vector<std::string> command) {
  return {std::move(name), k_starts, [command = std::move(command)] {
            for (int i = 0; i < k_starts; ++i) {
              start(command);
            }
          }};
}

} // namespace

ManyConfigs::ManyConfigs(const fs::path& model, int count) : m_count(count) {
  std::string pattern = (fs::temp_directory_path() / "mla-scale-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("cannot make a temporary directory");
  }
  m_directory = pattern;
  for (int i = 0; i < count; ++i) {
    const fs::path place = m_directory / fmt::format("model-{:05}", i);
    fs::create_directory(place);
    fs::copy_file(model / "config.json", place / "config.json");
  }
}

ManyConfigs::~ManyConfigs() {
  std::error_code ignored;
  fs::remove_all(m_directory, ignored);
}

Group configs_group(const ManyConfigs& configs, unsigned threads, const fs::path& tool) {
  Group group{fmt::format("{} configs", configs.count()), "configs", {}};
  const fs::path directory = configs.directory();
  const double work = configs.count();
  const auto each = [directory, threads](const auto& job) {
    return [directory, threads, job] {
      const auto files = model::find_model_files(directory);
      if (!files) {
        throw std::runtime_error(to_string(files.error()));
      }
      parallel_for(files->size(), threads, [&](std::size_t i) { job((*files)[i]); });
    };
  };
  group.contenders.push_back({"inspect", work, each([](const model::ModelFile& file) {
                                static_cast<void>(report::inspect(model::load_model(file)));
                              })});
  group.contenders.push_back({"load only", work, each([](const model::ModelFile& file) {
                                static_cast<void>(model::load_model(file));
                              })});
  group.contenders.push_back(
      {"find, read and parse only", work, each([](const model::ModelFile& file) {
         auto text = read_file(file.source, k_most_bytes);
         if (text) {
           static_cast<void>(json::Document::parse(std::move(*text), file.source));
         }
       })});
  if (!tool.empty()) {
    for (const char* command : {"inspect", "audit"}) {
      group.contenders.push_back(
          {fmt::format("mla-scale {}, the program", command), work,
           [run = std::vector<std::string>{tool.string(), command, directory.string()}] {
             start(run);
           }});
    }
  }
  group.contenders.push_back(
      {"find only", work, [directory] { static_cast<void>(model::find_model_files(directory)); }});
  return group;
}

Group startup_group(const fs::path& tool, const fs::path& model) {
  Group group{"starts of the program", "starts", {}};
  group.contenders.push_back(starts("mla-scale --version", {tool.string(), "--version"}));
  group.contenders.push_back(
      starts("mla-scale inspect, one config", {tool.string(), "inspect", model.string()}));
  group.contenders.push_back(starts("/bin/true", {"/bin/true"}));
  return group;
}
