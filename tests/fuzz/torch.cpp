#include "input_file.hpp"
#include "targets.hpp"
#include "tensors.hpp"

#include <mla_scale/tensor/torch_zip.hpp>

void fuzz_torch(std::span<const std::uint8_t> bytes) {
  const InputFile file(bytes);
  touch(mla_scale::tensor::read_torch_zip(*mla_scale::tensor::MappedFile::open(file.path())));
}
