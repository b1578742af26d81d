#pragma once

#include <mla_scale/audit/rule.hpp>

#include <span>

namespace mla_scale::audit {

// The parts of the rules table, each in a file of its own; rules() joins them.

[[nodiscard]] std::span<const Rule> width_rules();
[[nodiscard]] std::span<const Rule> layout_rules();
[[nodiscard]] std::span<const Rule> gguf_rules();
[[nodiscard]] std::span<const Rule> rope_spelling_rules();
[[nodiscard]] std::span<const Rule> rope_value_rules();
[[nodiscard]] std::span<const Rule> rope_engine_rules();
[[nodiscard]] std::span<const Rule> mscale_rules();
[[nodiscard]] std::span<const Rule> scale_rules();
[[nodiscard]] std::span<const Rule> engine_rules();
[[nodiscard]] std::span<const Rule> file_rules();
[[nodiscard]] std::span<const Rule> input_rules();

} // namespace mla_scale::audit
