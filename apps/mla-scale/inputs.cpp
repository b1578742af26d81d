#include "inputs.hpp"

#include "output.hpp"

#include <mla_scale/core/parallel.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

namespace mla_scale::cli {

std::vector<InputFile> find_inputs(const std::vector<std::string>& paths) {
  std::vector<InputFile> files;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Result<std::vector<model::ModelFile>> found = model::find_model_files(paths[i]);
    if (!found) {
      files.push_back({{paths[i], paths[i]}, i, found.error()});
      continue;
    }
    for (model::ModelFile& file : *found) {
      files.push_back({std::move(file), i, std::nullopt});
    }
  }
  return files;
}

ExitCode visit_inputs(std::span<const InputFile> files, const Visit& visit) {
  std::vector<std::optional<Error>> errors(files.size());
  std::vector<std::atomic<bool>> judged(files.empty() ? 0 : files.back().path + 1);
  parallel_for(files.size(), 0, [&](std::size_t i) {
    const auto& [file, path, error] = files[i];
    report::Inspection one = report::inspect(
        error ? model::LoadedModel{file.path, file.source, *error} : model::load_model(file));
    errors[i] = one.error;
    if (one.judged()) {
      judged[path] = true;
    }
    visit(i, std::move(one));
  });
  bool failed = false;
  for (const std::optional<Error>& error : errors) {
    if (error) {
      failed = true;
      print_error(to_string(*error));
    }
  }
  const bool all_judged = std::all_of(judged.begin(), judged.end(), [](bool one) { return one; });
  return failed || !all_judged ? ExitCode::input : ExitCode::fine;
}

Inputs read_inputs(const std::vector<std::string>& paths) {
  Inputs inputs;
  const std::vector<InputFile> files = find_inputs(paths);
  inputs.inspections.resize(files.size());
  inputs.verdict = visit_inputs(files, [&](std::size_t i, report::Inspection one) {
    inputs.inspections[i] = std::move(one);
  });
  return inputs;
}

std::optional<report::Inspection> read_model(const std::string& path) {
  Inputs inputs = read_inputs({path});
  std::vector<report::Inspection>& all = inputs.inspections;
  const bool one_directory = std::all_of(all.begin(), all.end(), [&](const auto& one) {
    return one.model.path == all.front().model.path;
  });
  const auto judged =
      std::find_if(all.begin(), all.end(), [](const auto& one) { return one.judged(); });
  if (judged != all.end() && (all.size() == 1 || one_directory)) {
    return std::move(*judged);
  }
  if (all.size() > 1) {
    print_error(
        fmt::format("{} holds {} models; name one of them", escape_control(path), all.size()));
  } else if (!all.empty() && all.front().model.not_mla() != nullptr) {
    const model::NotMla& other = *all.front().model.not_mla();
    print_error(fmt::format("{}: {}", escape_control(other.source), escape_control(other.reason)));
  }
  return std::nullopt;
}

} // namespace mla_scale::cli
