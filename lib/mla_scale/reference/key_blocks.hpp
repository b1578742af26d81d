#pragma once

#include <mla_scale/reference/problem.hpp>

#include <cstdint>
#include <span>

/// In which order keys are read. Captures hold the heads of a token side by side, so that one head
/// is a narrow stripe of every row of the file: head after head would read the whole file as often
/// as there are heads, unless the system's file cache holds all of it.
namespace mla_scale::reference {

/// Bytes of k and v that hold the keys of one token, those of heads that were not chosen included.
[[nodiscard]] std::int64_t bytes_per_key(const Problem& problem);

/// True when heads lie side by side and their keys are more than a file cache can be trusted to
/// keep from one head to the next.
[[nodiscard]] bool is_large(const Problem& problem);

/// Keys of a sequence that all heads walk before any head walks the next ones, so that the file is
/// read once for all of them. A multiple of 256; more than any sequence has where the order does
/// not matter. \pre validate(problem)
[[nodiscard]] std::int64_t keys_per_block(const Problem& problem);

/// The problem with copies in memory of the first `keys` keys of these heads, of k and v or of one
/// of them, to be read again and again. Reads the file once. \pre is_large(problem)
enum class Copied { keys, values, both };
[[nodiscard]] Problem copy_keys(const Problem& problem, std::span<const std::int64_t> heads,
                                std::int64_t keys, Copied copied);

/// How many heads copies of the first `keys` keys may be made of, 256 MiB at most: one or more.
/// \pre is_large(problem)
[[nodiscard]] std::int64_t heads_to_copy(const Problem& problem, std::int64_t keys, Copied copied);

/// Asks the system to read `count` keys from key row `first` of the capture ahead of their use.
void expect_keys(const Problem& problem, std::int64_t first, std::int64_t count);

} // namespace mla_scale::reference
