#pragma once

#include <mla_scale/report/inspection.hpp>

#include <cstddef>
#include <string>

namespace mla_scale::report {

/// A report of `inspect` that grows model by model, so that no model has to be kept: of 10,000 of
/// them the text takes a hundredth of the memory.
class InspectReport {
public:
  InspectReport() = default;
  InspectReport(const InspectReport&) = delete;
  InspectReport& operator=(const InspectReport&) = delete;
  virtual ~InspectReport() = default;

  /// Adds each model once, from any thread and in any order; it stands in the report at `index`.
  virtual void add(std::size_t index, const Inspection& inspection) = 0;
  /// The whole report, once every model is added.
  [[nodiscard]] virtual std::string finish() = 0;
};

} // namespace mla_scale::report
