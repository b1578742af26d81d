#pragma once

#include <string>
#include <string_view>

/// SHA-256 (FIPS 180-4) in base64, as Content-Security-Policy writes it.
std::string sha256_base64(std::string_view text);
