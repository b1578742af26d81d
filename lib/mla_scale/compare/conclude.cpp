#include <mla_scale/compare/conclude.hpp>
#include <mla_scale/compare/tensor_status.hpp>
#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::compare {
namespace {

constexpr double k_scale_precision = 0.01; // wanted of the inputs when no rival is given

std::string told_to(double resolution) {
  if (!(resolution < 1.0)) {
    return "these inputs do not tell the scale at all";
  }
  const double percent = 100.0 * resolution;
  return fmt::format("these inputs tell the scale to no better than {:.{}f} %", percent,
                     percent < 10.0 ? 1 : 0);
}

} // namespace

void conclude(Judgement& judgement) {
  bool wrong = false;
  bool right = false;
  bool missing = true;
  for (const TensorComparison& tensor : judgement.tensors) {
    wrong = wrong || is_failure(tensor.status);
    right = right || tensor.status == Status::match;
    missing = missing && tensor.status == Status::missing;
    for (const std::string& reason : tensor.reasons) {
      judgement.reasons.push_back(fmt::format("{}: {}", tensor.name, reason));
    }
  }
  for (const TensorComparison& tensor : judgement.tensors) {
    if (tensor.status == Status::all_zero || tensor.status == Status::empty) {
      judgement.reasons.push_back(tensor.status == Status::empty
                                      ? fmt::format("{} is empty", tensor.name)
                                      : fmt::format("{} is all zero", tensor.name));
      right = false; // Nothing that matches can make up for an output that was never written.
      judgement.advice.push_back(fmt::format(
          "save {} after the kernel has finished: nothing was written to it", tensor.name));
    }
  }
  if (missing) {
    judgement.reasons.emplace_back("the capture has neither out nor lse");
    judgement.advice.emplace_back("save out, and lse where the kernel returns it");
  }
  judgement.verdict = wrong ? Verdict::mismatch : right ? Verdict::match : Verdict::inconclusive;
}

void add_weakness(Judgement& judgement, double resolution) {
  const auto weak = std::find_if(judgement.rivals.begin(), judgement.rivals.end(),
                                 [](const RivalOutcome& outcome) { return !outcome.told_apart; });
  const bool too_weak =
      judgement.rivals.empty() ? !(resolution < k_scale_precision) : weak != judgement.rivals.end();
  if (!too_weak) {
    return;
  }
  judgement.verdict = Verdict::inconclusive;
  judgement.reasons.insert(judgement.reasons.begin(),
                           weak != judgement.rivals.end() ? fmt::format(
                               "these inputs cannot tell the right scale from {} ({})",
                               weak->rival.name, format_number(weak->rival.softmax_scale))
                                                          : told_to(resolution));
  judgement.advice.push_back(
      "use rows that see many keys and logits with a standard deviation of about 1 or more, as "
      "`mla-scale sample` makes them, and save the lse: it tells the scale from a single row");
}

void leave_unjudged(Judgement& judgement) {
  for (TensorComparison& tensor : judgement.tensors) {
    if (can_be_judged(tensor.status)) {
      tensor.status = Status::not_judged;
    }
  }
}

} // namespace mla_scale::compare
