#include <mla_scale/check/doubts.hpp>
#include <mla_scale/tensor/capture_values.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

namespace mla_scale::check {
namespace {

using compare::Verdict;
using tensor::View3;

struct Input {
  std::string_view canonical;
  std::optional<View3> tensor::Capture::*view;
  bool may_be_zero; ///< in a healthy capture
};

constexpr Input k_expanded[] = {{"q", &tensor::Capture::q, false},
                                {"k", &tensor::Capture::k, false},
                                {"v", &tensor::Capture::v, false}};
constexpr Input k_latent[] = {{"q", &tensor::Capture::q, false},
                              {"kv_c", &tensor::Capture::kv_c, false},
                              {"k_pe", &tensor::Capture::k_pe, true},
                              {"w_uk", &tensor::Capture::w_uk, false},
                              {"w_uv", &tensor::Capture::w_uv, false}};

std::span<const Input> inputs_of(reference::Form form) {
  return form == reference::Form::expanded ? std::span<const Input>(k_expanded)
                                           : std::span<const Input>(k_latent);
}

/// True for a tensor that has elements, all of them 0.
bool all_zero(const View3& view) {
  std::vector<double> row(static_cast<std::size_t>(view.width));
  for (std::int64_t token = 0; token < view.tokens; ++token) {
    for (std::int64_t head = 0; head < view.heads; ++head) {
      view.read(token, head, 0, view.width, row.data());
      if (std::any_of(row.begin(), row.end(), [](double x) { return x != 0.0; })) {
        return false;
      }
    }
  }
  return view.tokens > 0 && view.heads > 0 && view.width > 0;
}

void doubt(compare::Judgement& judgement, std::string reason, std::string advice) {
  judgement.verdict = Verdict::inconclusive;
  judgement.reasons.insert(judgement.reasons.begin(), std::move(reason));
  judgement.advice.push_back(std::move(advice));
}

void doubt_zeros(Check& check) {
  std::vector<std::string> zero;
  for (const Input& input : inputs_of(check.form)) {
    const std::optional<View3>& view = check.capture.*(input.view);
    if (view && !input.may_be_zero && all_zero(*view)) {
      zero.emplace_back(input.canonical);
    }
  }
  if (!zero.empty()) {
    doubt(check.judgement,
          fmt::format("{} {} all zero: attention over it shows nothing", fmt::join(zero, " and "),
                      zero.size() > 1 ? "are" : "is"),
          fmt::format("save {} after it was computed, as the kernel reads it",
                      fmt::join(zero, " and ")));
  }
}

void doubt_missing_scales(Check& check) {
  if (check.judgement.verdict != Verdict::mismatch) {
    return; // with scale 1 it matches: that is the scale
  }
  std::vector<std::string> names;
  std::vector<std::string> scales;
  const auto add = [&](std::string_view canonical, const std::optional<View3>& view) {
    if (view && tensor::is_float8(view->tensor->dtype)
        && !tensor::has_scale(check.capture, canonical)
        && std::find(names.begin(), names.end(), view->tensor->name) == names.end()) {
      names.push_back(view->tensor->name);
      scales.push_back(view->tensor->name + "_scale");
    }
  };
  for (const Input& input : inputs_of(check.form)) {
    add(input.canonical, check.capture.*(input.view));
  }
  add("out", check.capture.out);
  if (!names.empty()) {
    doubt(check.judgement,
          fmt::format("{} {} float8 and {} missing; with scale 1 the capture does not match",
                      fmt::join(names, " and "), names.size() > 1 ? "are" : "is",
                      fmt::join(scales, ", ")),
          fmt::format("save {} beside it, the factor that the kernel multiplies it by",
                      fmt::join(scales, " and ")));
  }
}

void doubt_absent_out(Check& check) {
  const bool listed =
      std::any_of(check.capture.tensors.begin(), check.capture.tensors.end(),
                  [](const tensor::CaptureTensor& one) { return one.canonical == "out"; });
  // Without lse as well, the judgement has said so.
  const bool unsaid = listed || check.capture.lse;
  if (!check.capture.out && unsaid && check.judgement.verdict != Verdict::mismatch) {
    doubt(check.judgement,
          listed ? "out is empty" : "out is missing: lse says nothing about values",
          "save out after the kernel has finished");
  }
}

} // namespace

void add_doubts(Check& check) {
  doubt_missing_scales(check);
  doubt_absent_out(check);
  doubt_zeros(check);
}

} // namespace mla_scale::check
