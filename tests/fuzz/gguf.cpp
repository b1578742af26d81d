#include "input_file.hpp"
#include "model.hpp"
#include "targets.hpp"

void fuzz_gguf(std::span<const std::uint8_t> bytes) {
  // Anything else would be read as JSON, which is another target.
  if (bytes.size() < 4 || bytes[0] != 'G' || bytes[1] != 'G' || bytes[2] != 'U'
      || bytes[3] != 'F') {
    return;
  }
  const InputFile file(bytes);
  use(mla_scale::model::load_model({"model", file.path().string()}));
}
