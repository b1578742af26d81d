#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace mla_scale::diagnose {

/// One number, or word, that a hypothesis was fitted with.
struct Parameter {
  std::string name;
  std::variant<double, std::int64_t, std::string> value;
};

/// One explanation of a capture that holds.
struct Finding {
  std::string id;    ///< identifier of the hypothesis table, for example "scale.latent_width"
  std::string title; ///< one line for a reader
  std::vector<Parameter> parameters;
  double residual_ratio = 0.0; ///< rms error left / rms error of a healthy kernel
  std::string evidence;        ///< one line: the numbers that speak for it
  std::string see;             ///< what to look at in the engine
};

/// An explanation that competed, whether or not it holds.
struct Considered {
  std::vector<std::string> ids; ///< of its parts; empty: the expectation itself
  std::string evidence;         ///< the numbers that it was fitted with; may be empty
  double residual_ratio = 0.0;  ///< as Finding's
  double lse_ratio = 0.0;       ///< the same of lse alone; 0 without lse
  bool holds = false;           ///< what it leaves is what a healthy kernel's rounding leaves
};

/// A hypothesis that this capture cannot decide, and what would.
struct NotIdentifiable {
  std::string id;
  std::string reason;
  std::string needs;
};

/// Error against the expectation, for one head and a range of rows.
struct Place {
  std::int64_t head = 0;
  std::int64_t first_row = 0;
  std::int64_t last_row = 0;
  double ratio = 0.0; ///< rms error / that of a healthy kernel
};

/// What the diagnosis of a capture says.
struct Report {
  bool healthy = false;               ///< nothing but rounding
  double null_ratio = 0.0;            ///< error against the expectation / that of a healthy kernel
  std::vector<Finding> findings;      ///< the answer first; empty: healthy, or unexplained
  std::vector<Finding> notes;         ///< precision.bf16_logits
  std::vector<Considered> considered; ///< best first, each set of identifiers once
  std::vector<NotIdentifiable> not_identifiable;
  std::string unexplained; ///< mismatch without finding: where the error sits; else empty
  std::vector<Place> map;  ///< only when unexplained
  std::int64_t sampled_heads = 0;
  std::int64_t sampled_rows = 0; ///< (head, row) pairs looked at
};

} // namespace mla_scale::diagnose
