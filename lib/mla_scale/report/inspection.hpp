#pragma once

#include <mla_scale/audit/rule.hpp>
#include <mla_scale/model/load.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mla_scale::report {

/// Something worth telling about a config that is no failure: a spelling conflict, a dispute, a
/// guess.
struct Note {
  std::string message;
  std::string pointer;
  Position position;
  const audit::Rule* rule = nullptr; ///< the audit's rule about the same, where there is one
};

/// One model file with what could be derived from it.
struct Inspection {
  model::LoadedModel model;
  std::optional<scale::SoftmaxScale> scale; ///< empty for models that are not MLA or failed
  std::optional<Error> error; ///< why the file could not be read or its scale not derived
  std::vector<Note> findings;

  [[nodiscard]] bool judged() const { return scale.has_value(); }
};

/// Derives what `inspect` shows from a model that was loaded.
[[nodiscard]] Inspection inspect(model::LoadedModel model);

} // namespace mla_scale::report
