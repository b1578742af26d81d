#pragma once

#include <mla_scale/core/atomic_file.hpp>
#include <mla_scale/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace mla_scale::tensor {

/// A tensor that is about to be written.
struct TensorPlan {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
};

/// Writes a safetensors file of known shapes piece by piece, in any order, without holding a
/// tensor.
class SafetensorsWriter {
public:
  /// Plans the file; tensors stand in it in the order given. Errors: write; usage for a name that
  /// stands twice, a shape that overflows or a type that safetensors lacks.
  [[nodiscard]] static Result<SafetensorsWriter>
  create(const std::filesystem::path& path, const std::vector<TensorPlan>& tensors,
         const std::map<std::string, std::string>& metadata);

  /// Writes `bytes` at element `first` of tensor number `tensor` of the plan. Little endian. Safe
  /// to call from several threads. Errors: write; internal past the end of the tensor.
  [[nodiscard]] Result<void> write(std::size_t tensor, std::int64_t first,
                                   std::span<const std::byte> bytes) const;

  /// Gives the file its name. Error: write.
  [[nodiscard]] Result<void> commit() { return m_file.commit(); }

private:
  struct Place {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t element_size = 0;
  };

  SafetensorsWriter(AtomicFile file, std::vector<Place> places)
      : m_file(std::move(file)), m_places(std::move(places)) {}

  AtomicFile m_file;
  std::vector<Place> m_places;
};

} // namespace mla_scale::tensor
