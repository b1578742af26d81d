#include <mla_scale/tensor/memory.hpp>

#include <fmt/format.h>

namespace mla_scale::tensor {

Result<std::shared_ptr<const Tensor>> tensor_in_memory(std::string name, Dtype dtype,
                                                       std::vector<std::int64_t> shape,
                                                       std::span<const std::byte> bytes,
                                                       std::shared_ptr<const void> owner) {
  const std::optional<std::int64_t> count = element_count_of(shape);
  const std::size_t size = size_of(dtype);
  if (!count || bytes.size() % size != 0
      || static_cast<std::uint64_t>(*count) != bytes.size() / size) {
    return Error{ErrorKind::schema,
                 fmt::format("{} bytes do not hold {} elements of {}", bytes.size(),
                             shape_text(shape), to_string(dtype)),
                 {},
                 std::move(name),
                 {}};
  }
  auto tensor = std::make_shared<Tensor>();
  tensor->name = std::move(name);
  tensor->file = "memory";
  tensor->dtype = dtype;
  tensor->strides = dense_strides(shape);
  tensor->shape = std::move(shape);
  tensor->data = bytes.data();
  tensor->owner = std::move(owner);
  return std::shared_ptr<const Tensor>(std::move(tensor));
}

} // namespace mla_scale::tensor
