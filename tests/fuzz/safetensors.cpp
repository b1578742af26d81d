#include "input_file.hpp"
#include "targets.hpp"
#include "tensors.hpp"

#include <mla_scale/tensor/safetensors.hpp>

void fuzz_safetensors(std::span<const std::uint8_t> bytes) {
  const InputFile file(bytes);
  touch(mla_scale::tensor::read_safetensors(*mla_scale::tensor::MappedFile::open(file.path())));
}
