#include <mla_scale/tensor/npy.hpp>
#include <mla_scale/tensor/npz.hpp>
#include <mla_scale/tensor/zip_archive.hpp>

namespace mla_scale::tensor {

Result<TensorFile> read_npz(const std::shared_ptr<const MappedFile>& file) {
  Result<ZipArchive> archive = ZipArchive::open(file);
  if (!archive) {
    return archive.error();
  }
  TensorFile result;
  result.path = file->path();
  for (const ZipEntry& entry : archive->entries()) {
    if (!entry.name.ends_with(".npy")) {
      continue;
    }
    Result<ZipBytes> bytes = archive->read(entry);
    if (!bytes) {
      return bytes.error();
    }
    const std::string name = entry.name.substr(0, entry.name.size() - 4);
    if (const Result<void> added = add_npy(result, name, bytes->bytes, std::move(bytes->owner));
        !added) {
      return added.error();
    }
  }
  return result;
}

} // namespace mla_scale::tensor
