#pragma once

#include <mla_scale/compare/judge.hpp>

#include <optional>

namespace mla_scale::compare {

/// The scale fitted to a match, when it is not `softmax_scale` and the match's level may have taken
/// the difference for its own noise, or lean.
[[nodiscard]] std::optional<double> hidden_scale(const Judgement& match, double softmax_scale);

/// True when `fitted`, the judgement at a fitted scale, says that the scale was wrong and the level
/// `taken` hid it: rounded logits would have left their noise, and cut probabilities their lean, at
/// every scale.
[[nodiscard]] bool shows_hidden_scale(const Judgement& fitted, Level taken);

/// The scale that eager code in some frameworks makes of `softmax_scale`, which it keeps in the
/// dtype of the logits, when a mismatch is of such a level and its fit says that this is the scale.
[[nodiscard]] std::optional<double> rounded_scale(const Judgement& mismatch, double softmax_scale);

} // namespace mla_scale::compare
