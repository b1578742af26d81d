#pragma once

#include "examined.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

/// What one proposer alone makes of a small capture.
namespace simulator {

/// One head, widths of a few columns, float32 and out alone: every number can be told exactly.
inline Settings tiny() {
  Settings settings;
  settings.heads = 1;
  settings.nope = 6;
  settings.rope = 4;
  settings.value = 10;
  settings.latent = 14;
  settings.queries = 16;
  settings.dtype = mla_scale::tensor::Dtype::f32;
  settings.lse = false;
  return settings;
}

inline Settings tiny_with_lse() {
  Settings settings = tiny();
  settings.lse = true;
  return settings;
}

using Candidates = std::vector<mla_scale::diagnose::Candidate>;

template <class Proposer>
Candidates appended(const Examined& examined, const Proposer& proposer) {
  Candidates candidates;
  proposer(examined.context, candidates);
  return candidates;
}

inline Candidates with_id(const Candidates& all, const std::string& id) {
  Candidates found;
  for (const auto& candidate : all) {
    if (candidate.parts.front().id == id) {
      found.push_back(candidate);
    }
  }
  return found;
}

/// A row that sees so many of the keys of its sequence.
inline mla_scale::diagnose::Row row_seeing(std::size_t visible, std::size_t keys,
                                           std::size_t prefix = 0) {
  mla_scale::diagnose::Row row;
  row.visible = visible;
  row.keys = keys;
  row.prefix = prefix;
  row.local = visible - 1 - prefix;
  return row;
}

/// How much each key of logit 0 counts after the candidate bent the logits of the row.
inline std::vector<double> bent(const mla_scale::diagnose::Candidate& candidate,
                                const mla_scale::diagnose::Row& row) {
  std::vector<double> logits(row.keys, 0.0);
  candidate.mechanism.bend(row, logits);
  for (double& logit : logits) {
    logit = std::exp(logit);
  }
  return logits;
}

/// So many zeros, ones, ...: {{0, 2}, {1, 3}} is 0 0 1 1 1.
inline std::vector<double> runs_of(const std::vector<std::pair<double, std::size_t>>& runs) {
  std::vector<double> all;
  for (const auto& [value, times] : runs) {
    all.insert(all.end(), times, value);
  }
  return all;
}

} // namespace simulator
