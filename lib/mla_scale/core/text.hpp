#pragma once

#include <span>
#include <string>
#include <string_view>

namespace mla_scale {

/// `text` with every control character, DEL, C1 control, bidirectional override and byte that is
/// not UTF-8 written as \xNN or \u{NNNN}, so that a hostile name cannot drive a terminal.
[[nodiscard]] std::string escape_control(std::string_view text);

/// `text` up to `limit` bytes, never cut inside a UTF-8 sequence, with "..." behind it when
/// something is missing.
[[nodiscard]] std::string clip(std::string_view text, std::size_t limit);

/// Shortest decimal that reads back to the same double ("0.1352337788608801", "40", "1e-06");
/// "nan", "inf", "-inf".
[[nodiscard]] std::string format_number(double value);

/// The candidate nearest to `text` in edit distance, whatever the case of letters, or an empty view
/// when none is near enough to be a slip.
[[nodiscard]] std::string_view closest_match(std::string_view text,
                                             std::span<const std::string_view> candidates);

/// The first candidate that `text` is the beginning of, else the closest match: "llama" stands for
/// "llama.cpp" rather than for "ollama".
[[nodiscard]] std::string_view likely_name(std::string_view text,
                                           std::span<const std::string_view> candidates);

/// Edit distance that counts insertion, deletion, substitution and a swap of neighbours as one
/// each. Above `limit` it stops early and returns some number above `limit`.
[[nodiscard]] std::size_t edit_distance(std::string_view left, std::string_view right,
                                        std::size_t limit = static_cast<std::size_t>(-1));

} // namespace mla_scale
