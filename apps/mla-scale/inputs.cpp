#include "inputs.hpp"

#include "output.hpp"

#include <mla_scale/core/parallel.hpp>

#include <algorithm>
#include <iterator>

namespace mla_scale::cli {

Inputs read_inputs(const std::vector<std::string>& paths) {
  Inputs inputs;
  for (const std::string& path : paths) {
    const Result<std::vector<model::ModelFile>> files = model::find_model_files(path);
    std::vector<report::Inspection> found;
    if (!files) {
      found.push_back(report::inspect(model::LoadedModel{path, path, files.error()}));
    } else {
      found.resize(files->size());
      parallel_for(found.size(), 0, [&](std::size_t i) {
        found[i] = report::inspect(model::load_model((*files)[i]));
      });
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
    std::move(found.begin(), found.end(), std::back_inserter(inputs.inspections));
  }
  return inputs;
}

} // namespace mla_scale::cli
