#include <mla_scale/check/check.hpp>
#include <mla_scale/check/doubts.hpp>
#include <mla_scale/check/expectation.hpp>
#include <mla_scale/check/notes.hpp>
#include <mla_scale/check/pose.hpp>
#include <mla_scale/core/number.hpp>
#include <mla_scale/diagnose/captured_rotation.hpp>
#include <mla_scale/diagnose/judged.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <utility>

namespace mla_scale::check {
namespace {

using compare::Verdict;
using reference::Problem;

compare::Judgement without_inputs(const tensor::Capture& capture) {
  compare::Judgement judgement;
  judgement.verdict = Verdict::inconclusive;
  judgement.reasons.push_back(fmt::format("the capture lacks {}: there is nothing to compute from",
                                          fmt::join(capture.missing, ", ")));
  judgement.advice.emplace_back("save q with k and v, or q with kv_c, k_pe and kv_b_proj; "
                                "or name the file that holds them as well");
  for (const auto& [name, present] :
       {std::pair("out", capture.out.has_value()), std::pair("lse", capture.lse.has_value())}) {
    if (!present) { // one that is there was not compared, and is not missing
      judgement.tensors.emplace_back();
      judgement.tensors.back().name = name;
    }
  }
  return judgement;
}

/// The judgement, and for models with a Llama-4 temperature whether q may carry it already.
Result<compare::Judgement> judge_with_temperature(const Problem& problem,
                                                  const tensor::Capture& capture,
                                                  const compare::JudgeOptions& options) {
  auto judgement = compare::judge(problem, capture, options);
  const bool changes = std::any_of(problem.query_factors.begin(), problem.query_factors.end(),
                                   [](double factor) { return factor != 1.0; });
  if (!judgement || !changes || judgement->verdict != Verdict::mismatch) {
    return judgement;
  }
  Problem plain = problem;
  plain.query_factors.clear();
  auto without = compare::judge(plain, capture, options);
  if (without && without->verdict == Verdict::match) {
    without->verdict = Verdict::inconclusive;
    without->reasons.emplace_back("it matches if q carries the model's Llama-4 temperature, and "
                                  "lacks it if q does not");
    without->advice.emplace_back("save q_pre as well, from before RoPE and temperature");
    return without;
  }
  return judgement;
}

/// A square lse may be [heads, rows] or [rows, heads]; when only the other reading matches, that is
/// how it was meant.
void try_other_lse(const Problem& problem, tensor::Capture& capture,
                   const compare::JudgeOptions& options, compare::Judgement& judgement) {
  const bool lse_wrong =
      std::any_of(judgement.tensors.begin(), judgement.tensors.end(), [](const auto& tensor) {
        return tensor.name == "lse" && tensor.status == compare::Status::mismatch;
      });
  if (!lse_wrong || capture.lse->tokens != capture.lse->heads || capture.lse->batch_tokens != 0
      || capture.lse->heads < 2) {
    return;
  }
  tensor::Capture other = capture;
  std::swap(other.lse->token_stride, other.lse->head_stride);
  auto again = compare::judge(problem, other, options);
  if (again && again->verdict == Verdict::match) {
    again->notes.emplace_back("lse is square and matches only when read the other way round");
    capture = std::move(other);
    judgement = std::move(*again);
  }
}

/// Reads the capture, from wherever it is, in a layout that is given or "".
using Reader = std::function<Result<tensor::Capture>(const std::string& layout)>;

/// Judges the check's capture against the problem.
Result<void> judge_problem(const Problem& problem, const diagnose::Expectation& expectation,
                           Check& check) {
  compare::JudgeOptions options;
  options.rivals = rivals_of(expectation);
  options.progress = check.options.progress;
  auto judgement = judge_with_temperature(problem, check.capture, options);
  if (!judgement) {
    return judgement.error();
  }
  check.judgement = std::move(*judgement);
  try_other_lse(problem, check.capture, options, check.judgement);
  test_padding(check);
  return {};
}

/// A match whose errors follow a bug is none.
void take_finding_of_match(Check& check) {
  if (check.judgement.verdict == Verdict::match && !check.diagnosis.findings.empty()) {
    check.judgement.verdict = Verdict::mismatch;
    std::erase_if(check.judgement.notes, [](const std::string& note) {
      return note.starts_with("precision."); // said of healthy kernels
    });
    check.diagnosis.notes.clear();
    check.judgement.reasons.push_back("the error is no larger than rounding's, but follows a bug: "
                                      + check.diagnosis.findings.front().evidence);
  }
}

Result<Check> check_as_read(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const Reader& read, const Options& options) {
  const tensor::Geometry geometry = geometry_of(config);
  auto capture = read(options.layout);
  if (!capture) {
    return capture.error();
  }
  Check check;
  check.options = options;
  check.capture = std::move(*capture);
  check.softmax_scale = options.softmax_scale.value_or(
      options.phase == Phase::prefill ? scale.prefill : scale.decode);
  if (!has_expanded(check.capture) && !has_latent(check.capture, geometry)) {
    check.judgement = without_inputs(check.capture);
    return check;
  }
  auto problem = pose(config, check);
  if (!problem) {
    return problem.error();
  }
  const std::string sampling_note = choose_rows(*problem, options.row_choice);
  check.heads = problem->chosen_heads();
  check.rows = problem->chosen_rows();
  diagnose::Expectation expectation = expectation_of(config, scale, check.softmax_scale);
  expectation.decode = options.phase == Phase::decode;
  if (const auto judged = judge_problem(*problem, expectation, check); !judged) {
    return judged.error();
  }
  if (!sampling_note.empty()) {
    check.judgement.notes.push_back(sampling_note);
  }
  add_doubts(check);
  add_notes(check, geometry);
  for (std::string& line : diagnose::rope_contradictions(*problem, check.capture, expectation)) {
    check.judgement.notes.push_back(std::move(line));
  }
  if (options.diagnose) {
    auto diagnosis =
        diagnose::diagnose_judged(*problem, check.capture, expectation, check.judgement);
    if (!diagnosis) {
      return diagnosis.error();
    }
    check.diagnosis = std::move(*diagnosis);
    take_finding_of_match(check);
  }
  if (const auto unchanged = tensor::check_unchanged(check.capture); !unchanged) {
    return unchanged.error();
  }
  return check;
}

/// How wrong a check's out is.
double error_of(const Check& check) {
  return check.judgement.tensors.empty() ? k_infinity
                                         : check.judgement.tensors.front().sums.relative_rms();
}

/// Shapes such as [B, 4, 8, D] can hold tokens before heads and heads before tokens. Where one
/// reading does not match, or neither is likelier, the values say which was meant: a wrong one
/// cannot match. An answer that both readings give needs no choice.
Result<Check> settle_layout(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const Reader& read, const Options& options, Result<Check> first) {
  std::vector<Check> others;
  for (const char* layout : {"thd", "htd"}) {
    const auto capture = read(layout);
    if (!capture
        || (first && capture->layout == first->capture.layout
            && capture->heads == first->capture.heads)) {
      continue;
    }
    Options one = options;
    one.layout = layout;
    auto other = check_as_read(config, scale, read, one);
    if (!other) {
      return first;
    }
    if (other->judgement.verdict == Verdict::match) {
      other->options.layout.clear();
      other->judgement.notes.push_back(
          fmt::format("the shapes can be read in two ways, and match only as {} with {} heads",
                      other->capture.layout, other->capture.heads));
      return other;
    }
    others.push_back(std::move(*other));
  }
  const bool both = !first && others.size() == 2
                    && std::all_of(others.begin(), others.end(), [](const Check& other) {
                         return other.judgement.verdict == Verdict::mismatch;
                       });
  if (!both) {
    return first;
  }
  Check& nearer = error_of(others[1]) < error_of(others[0]) ? others[1] : others[0];
  nearer.judgement.notes.push_back(
      fmt::format("the shapes can be read in two ways and mismatch in both; shown as {} with {} "
                  "heads, --layout settles it",
                  nearer.capture.layout, nearer.capture.heads));
  return std::move(nearer);
}

Result<Check> check_read(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                         const Reader& read, const Options& options) {
  if (const auto mla = require_mla(config); !mla) {
    return mla.error();
  }
  auto first = check_as_read(config, scale, read, options);
  const bool settled = first ? first->judgement.verdict != Verdict::mismatch
                             : first.error().kind != ErrorKind::schema;
  if (settled || !options.layout.empty()) {
    return first;
  }
  return settle_layout(config, scale, read, options, std::move(first));
}

} // namespace

std::string_view to_string(Phase phase) {
  return phase == Phase::prefill ? "prefill" : "decode";
}

Result<Check> check_capture(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const std::vector<std::filesystem::path>& files,
                            const Options& options) {
  const Reader read = [&](const std::string& layout) {
    return tensor::read_capture(files, geometry_of(config), {layout});
  };
  return check_read(config, scale, read, options);
}

Result<Check> check_tensors(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const std::vector<std::shared_ptr<const tensor::Tensor>>& tensors,
                            const Options& options) {
  const Reader read = [&](const std::string& layout) {
    return tensor::capture_of(tensors, geometry_of(config), {layout});
  };
  return check_read(config, scale, read, options);
}

} // namespace mla_scale::check
