#include "tensors.hpp"

#include "promise.hpp"

using namespace mla_scale;

namespace {

/// The index of the `element`-th element in the order of the last dimension fastest.
std::vector<std::int64_t> index_of(const tensor::Tensor& tensor, std::int64_t element) {
  std::vector<std::int64_t> index(tensor.shape.size());
  for (std::size_t axis = index.size(); axis-- > 0;) {
    index[axis] = element % tensor.shape[axis];
    element /= tensor.shape[axis];
  }
  return index;
}

} // namespace

void touch(const Result<tensor::TensorFile>& file) {
  if (!file) {
    promise(!to_string(file.error()).empty(), "an error says what is wrong");
    return;
  }
  constexpr std::int64_t k_most = 256;
  for (const auto& tensor : file->tensors) {
    promise(tensor->strides.size() == tensor->shape.size(), "a stride for each dimension");
    const std::int64_t count = tensor->element_count();
    for (std::int64_t i = 0; i < std::min(count, k_most); ++i) {
      static_cast<void>(tensor->at(index_of(*tensor, i)));
      static_cast<void>(tensor->at(index_of(*tensor, count - 1 - i)));
      if (!is_floating(tensor->dtype)) {
        static_cast<void>(tensor->integer_at(index_of(*tensor, i)));
      }
    }
  }
}
