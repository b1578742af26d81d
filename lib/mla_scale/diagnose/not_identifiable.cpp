#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/diagnose/not_identifiable.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::diagnose {

namespace {

bool same(double a, double b) {
  return std::abs(a / b - 1.0) < 1e-6;
}

void about_config(const Expectation& expectation, std::vector<NotIdentifiable>& rows) {
  const auto& dims = expectation.geometry;
  if (expectation.mscale_other_key && same(*expectation.mscale_other_key, expectation.mscale)
      && !same(expectation.mscale, 1.0)) {
    rows.push_back({"scale.mscale_wrong_key",
                    "mscale and mscale_all_dim are equal in this config: reading the wrong one "
                    "changes nothing",
                    "a config in which the two differ, or a look at the code"});
  }
  if (dims.qk_nope_head_dim == dims.v_head_dim) {
    rows.push_back({"scale.v_width",
                    fmt::format("qk_nope_head_dim and v_head_dim are both {}: scale.nope_width and "
                                "scale.v_width are the same number",
                                dims.v_head_dim),
                    "a model in which the two widths differ, or a look at the code"});
  }
  if (same(expectation.mscale, 1.0)) {
    rows.push_back(
        {"scale.mscale_omitted",
         "the model's scale has no mscale: leaving it out, or applying it once or twice, "
         "changes nothing",
         "a model with YaRN and mscale_all_dim"});
  }
}

/// Keys that the query row with the fewest sees; rows that see none do not count.
std::int64_t keys_of_shortest_row(const reference::Problem& problem) {
  std::int64_t fewest = 0;
  for (const auto row : problem.chosen_rows()) {
    const auto sequence = problem.sequence_of(row);
    const auto keys = sequence ? problem.visible_keys(*sequence, row) : 0;
    fewest = keys > 0 && (fewest == 0 || keys < fewest) ? keys : fewest;
  }
  return fewest;
}

void about_capture(const reference::Problem& problem, const tensor::Capture& capture,
                   const Expectation& expectation, std::vector<NotIdentifiable>& rows) {
  const auto prefix =
      std::any_of(problem.sequences.begin(), problem.sequences.end(), [](const auto& sequence) {
        return sequence.key_end - sequence.key_begin > sequence.query_end - sequence.query_begin;
      });
  if (!prefix) {
    rows.push_back({"mask.top_left",
                    "as many query rows as key rows: top-left and bottom-right are "
                    "the same mask",
                    "a capture with a prefix (more k than q rows)"});
    rows.push_back({"merge.context_dropped", "the capture has no prefix",
                    "a capture with a prefix (more k than q rows)"});
  }
  if (!capture.lse) {
    rows.push_back({"lse.base2", "the capture has no lse", "lse of the same call"});
  }
  std::string missing;
  for (const auto& [present, name] :
       {std::pair{capture.q_pre.has_value(), "q_pre"},
        std::pair{capture.k_pe_pre.has_value(), "k_pe_pre"},
        std::pair{!capture.positions_q.empty() && !capture.positions_k.empty(), "positions"}}) {
    if (!present) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name);
    }
  }
  if (!missing.empty()) {
    for (const char* id : {"rope.interleave_swapped", "rope.frequencies_plain", "rope.not_applied",
                           "rope.positions_shifted"}) {
      rows.push_back({id,
                      "how q and k were rotated cannot be recomputed: an error there is upstream "
                      "of attention",
                      missing + " (q and k before RoPE, and their positions)"});
    }
  } else if (expectation.rotary.inverse_frequencies.empty()) {
    rows.push_back({"rope.frequencies_plain", "the model's rotary frequencies are not known",
                    "a config whose rope type is known"});
  }
  if (capture.heads == 1) {
    rows.push_back(
        {"value.head_permuted", "the capture has one head", "a capture with several heads"});
  } else if (const auto keys = keys_of_shortest_row(problem);
             keys * capture.heads > k_most_keys_of_heads) {
    rows.push_back({"value.head_permuted",
                    fmt::format("every query row sees {} keys or more: too many to read for each "
                                "of {} heads",
                                keys, capture.heads),
                    "a capture with a shorter prefix"});
  }
}

} // namespace

std::vector<NotIdentifiable> not_identifiable(const reference::Problem& problem,
                                              const tensor::Capture& capture,
                                              const Expectation& expectation) {
  std::vector<NotIdentifiable> rows;
  about_config(expectation, rows);
  about_capture(problem, capture, expectation, rows);
  return rows;
}

} // namespace mla_scale::diagnose
