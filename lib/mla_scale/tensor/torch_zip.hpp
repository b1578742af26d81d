#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/mapped_file.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

#include <memory>

namespace mla_scale::tensor {

/// A file written by torch.save since PyTorch 1.6: a zip archive of data.pkl and data/<key>, one
/// for each storage. Storages stay mapped; tensors may be strided and share one.
///
/// A bare tensor has the file's name without extension; in dicts and lists the keys are joined by
/// dots. Numbers and strings become metadata; other objects are passed over. The pickle is read as
/// data: globals other than those that rebuild tensors are refused, and nothing is ever executed.
/// Source: pytorch, torch/serialization.py and torch/_utils.py.
/// Errors: unsupported for the format before 1.6, foreign globals and quantised tensors; syntax for
/// tensors that reach outside their storage.
[[nodiscard]] Result<TensorFile> read_torch_zip(const std::shared_ptr<const MappedFile>& file);

} // namespace mla_scale::tensor
