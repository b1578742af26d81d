#pragma once

#include <string_view>

namespace mla_scale::hook {

// The texts of the Python files beside this one, as a user gets them.
[[nodiscard]] std::string_view transformers_python();
[[nodiscard]] std::string_view vllm_python();
[[nodiscard]] std::string_view sglang_python();

} // namespace mla_scale::hook
