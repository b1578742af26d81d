#pragma once

// g++ defines a macro for each sanitizer, clang answers a question.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MLA_SCALE_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLA_SCALE_SANITIZED 1
#endif

/// True under a sanitizer: processes are slow then, reserve more memory than a limit allows, and
/// report crashes in their own way.
#if defined(MLA_SCALE_SANITIZED)
inline constexpr bool k_sanitized = true;
#else
inline constexpr bool k_sanitized = false;
#endif
