#include "input_file.hpp"
#include "targets.hpp"
#include "tensors.hpp"

#include <mla_scale/tensor/npy.hpp>

void fuzz_npy(std::span<const std::uint8_t> bytes) {
  const InputFile file(bytes);
  touch(mla_scale::tensor::read_npy(*mla_scale::tensor::MappedFile::open(file.path())));
}
