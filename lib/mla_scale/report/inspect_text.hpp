#pragma once

#include <mla_scale/report/inspect_report.hpp>
#include <mla_scale/report/style.hpp>

#include <atomic>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::report {

class InspectText : public InspectReport {
public:
  InspectText(std::size_t models, const TerminalStyle& style) : m_style(style), m_models(models) {}
  void add(std::size_t index, const Inspection& inspection) override;
  [[nodiscard]] std::string finish() override;

private:
  struct Model {
    std::string line;  ///< in a list; empty for an error
    std::string block; ///< by itself; empty where the report is known to be a list
    bool judged = false;
  };
  [[nodiscard]] bool is_list() const;

  TerminalStyle m_style;
  std::vector<Model> m_models;
  std::atomic<std::size_t> m_judged = 0;
  std::atomic<std::size_t> m_failed = 0;
};

/// The text report of `inspect`: one block a model, one line for a model that is not MLA, and from
/// four models on one line each. Errors are not repeated: they belong on standard error.
[[nodiscard]] std::string inspect_text(std::span<const Inspection> inspections,
                                       const TerminalStyle& style);

/// One model on one line of `inspect`, for lists of many: scale, family and path.
[[nodiscard]] std::string inspect_line(const Inspection& inspection, const TerminalStyle& style);

} // namespace mla_scale::report
