#pragma once

#include <mla_scale/core/result.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace mla_scale {

/// The whole of a regular file.
/// Errors: not_found; unreadable for a directory, FIFO, socket or device, for a file above
/// `max_bytes`, and when the file shrinks while it is read. Never blocks on a FIFO.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path,
                                            std::size_t max_bytes);

/// The first `count` bytes of a regular file, fewer when it is shorter. Errors as read_file.
[[nodiscard]] Result<std::string> read_file_head(const std::filesystem::path& path,
                                                 std::size_t count);

/// All of standard input. Error: unreadable above `max_bytes`.
[[nodiscard]] Result<std::string> read_stdin(std::size_t max_bytes);

/// Writes to a temporary name in the same directory, then renames, so that no half-written file is
/// ever seen. Error: write, with the system's reason; the temporary file is removed.
[[nodiscard]] Result<void> write_file(const std::filesystem::path& path, std::string_view content);

} // namespace mla_scale
