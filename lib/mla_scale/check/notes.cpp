#include <mla_scale/check/notes.hpp>
#include <mla_scale/check/pose.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla_scale::check {
namespace {

using compare::Verdict;
using reference::Form;

constexpr double k_same_scale = 1e-5; // of a declared scale, which is often a float32

/// q · k and v of the latent path against the captured k and v, on a few key rows.
double disagreement(const tensor::Capture& capture, const tensor::Geometry& geometry,
                    double softmax_scale) {
  const auto expanded =
      reference::make_problem(capture, Form::expanded, softmax_scale, geometry.qk_rope_head_dim);
  const auto latent =
      reference::make_problem(capture, Form::latent, softmax_scale, geometry.qk_rope_head_dim);
  if (!expanded || !latent) {
    return 0.0;
  }
  constexpr std::int64_t k_rows = 32;
  double error = 0.0;
  double size = 0.0;
  const std::int64_t rows = std::min(k_rows, capture.key_rows);
  for (const std::int64_t head : {std::int64_t{0}, capture.heads - 1}) {
    reference::KeyTiles<double> left(*expanded, head);
    reference::KeyTiles<double> right(*latent, head);
    std::vector<double> keys(static_cast<std::size_t>(2 * rows * left.key_width()));
    std::vector<double> values(static_cast<std::size_t>(2 * rows * left.value_width()));
    left.load(capture.key_rows - rows, rows, keys.data(), values.data());
    right.load(capture.key_rows - rows, rows, keys.data() + rows * left.key_width(),
               values.data() + rows * left.value_width());
    for (const std::vector<double>* both : {&keys, &values}) {
      const std::size_t half = both->size() / 2;
      for (std::size_t i = 0; i < half; ++i) {
        const double difference = (*both)[half + i] - (*both)[i];
        error += difference * difference;
        size += (*both)[i] * (*both)[i];
      }
    }
  }
  return size > 0.0 ? std::sqrt(error / size) : 0.0;
}

} // namespace

void add_notes(Check& check, const tensor::Geometry& geometry) {
  compare::Judgement& judgement = check.judgement;
  if (has_expanded(check.capture) && has_latent(check.capture, geometry)) {
    // fp8 and bf16 round k and v by up to 4 %; a wrong split or head order makes it 100 %.
    const double distance = disagreement(check.capture, geometry, check.softmax_scale);
    if (distance > 0.1) {
      judgement.notes.push_back(fmt::format(
          "k and v do not follow from kv_c, k_pe and kv_b_proj: they differ by {:.2g} of their "
          "size; {} was used",
          distance, to_string(check.form)));
    }
  }
  const std::optional<double>& declared = check.capture.declared_softmax_scale;
  if (declared && std::abs(*declared - check.softmax_scale) > k_same_scale * check.softmax_scale) {
    judgement.notes.push_back(fmt::format("the capture says that its kernel was given {}, not {}",
                                          format_number(*declared),
                                          format_number(check.softmax_scale)));
  }
  for (const std::string& note : check.capture.notes) {
    judgement.notes.push_back(note);
  }
}

void test_padding(Check& check) {
  if (!check.capture.out_padding) {
    return;
  }
  const tensor::View3& padding = *check.capture.out_padding;
  std::vector<double> row(static_cast<std::size_t>(padding.width));
  for (const std::int64_t token : check.rows) {
    for (const std::int64_t head : check.heads) {
      padding.read(token, head, 0, padding.width, row.data());
      const auto filled = std::find_if(row.begin(), row.end(), [](double x) { return x != 0.0; });
      if (filled != row.end()) {
        check.judgement.verdict = Verdict::mismatch;
        check.judgement.reasons.push_back(fmt::format(
            "out: column {} behind v_head_dim holds {} at row {}, head {}; padding must be zero",
            filled - row.begin(), format_number(*filled), token, head));
        return;
      }
    }
  }
}

} // namespace mla_scale::check
