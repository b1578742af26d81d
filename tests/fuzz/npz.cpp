#include "input_file.hpp"
#include "targets.hpp"
#include "tensors.hpp"

#include <mla_scale/tensor/npz.hpp>

void fuzz_npz(std::span<const std::uint8_t> bytes) {
  const InputFile file(bytes);
  touch(mla_scale::tensor::read_npz(*mla_scale::tensor::MappedFile::open(file.path())));
}
