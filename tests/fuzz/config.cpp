#include "model.hpp"
#include "targets.hpp"

#include <string>

void fuzz_config(std::span<const std::uint8_t> bytes) {
  use(mla_scale::model::load_model_text(std::string(bytes.begin(), bytes.end()), "config.json"));
}
