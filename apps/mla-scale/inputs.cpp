#include "inputs.hpp"

#include "output.hpp"

#include <mla_scale/core/parallel.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace mla_scale::cli {

Inputs read_inputs(const std::vector<std::string>& paths) {
  Inputs inputs;
  for (const std::string& path : paths) {
    Result<std::vector<model::LoadedModel>> models = model::load_models(path);
    std::vector<report::Inspection> found;
    if (!models) {
      found.push_back(report::inspect(model::LoadedModel{path, path, models.error()}));
    } else {
      found.resize(models->size());
      parallel_for(found.size(), 0,
                   [&](std::size_t i) { found[i] = report::inspect(std::move((*models)[i])); });
    }
    const bool failed = std::any_of(found.begin(), found.end(),
                                    [](const auto& one) { return one.error.has_value(); });
    const bool judged =
        std::any_of(found.begin(), found.end(), [](const auto& one) { return one.judged(); });
    if (failed || !judged) {
      inputs.verdict = ExitCode::input;
    }
    for (const report::Inspection& one : found) {
      if (one.error) {
        print_error(to_string(*one.error));
      }
    }
    if (inputs.inspections.empty()) {
      inputs.inspections = std::move(found);
    } else {
      std::move(found.begin(), found.end(), std::back_inserter(inputs.inspections));
    }
  }
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
