#include "model.hpp"

#include "promise.hpp"

#include <mla_scale/audit/check.hpp>
#include <mla_scale/audit/record.hpp>
#include <mla_scale/engines/evaluate.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <cmath>

using namespace mla_scale;

void use(const model::LoadedModel& model) {
  static_cast<void>(audit::make_record(model));
  if (const Error* error = model.error()) {
    promise(!to_string(*error).empty(), "an error says what is wrong");
    return;
  }
  const model::MlaConfig* config = model.config();
  if (config == nullptr) {
    promise(!model.not_mla()->reason.empty(), "what is no MLA says what it is");
    return;
  }
  const auto law = scale::derive_softmax_scale(*config);
  if (law) {
    promise(law->prefill > 0 && std::isfinite(law->prefill), "a scale is a number above 0");
    promise(law->decode == law->prefill, "absorbing a projection does not change a scale");
  }
  static_cast<void>(scale::rope_frequencies(*config));
  static_cast<void>(scale::cache_bytes(*config));
  for (const engines::EngineValue& value : engines::evaluate_all(*config, law ? &*law : nullptr)) {
    promise(value.error.empty() || !value.prefill, "an engine that fails has no scale");
  }
  for (const audit::Finding& finding : audit::check_config(*config)) {
    promise(!finding.message.empty(), "a finding has a message");
  }
}
