#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace mla_scale::cli {

/// One of some names, with a guess at what was meant.
class OneOf : public CLI::Validator {
public:
  explicit OneOf(std::vector<std::string> names);
};

} // namespace mla_scale::cli
