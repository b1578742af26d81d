#pragma once

#include <mla_scale/core/result.hpp>
#include <mla_scale/tensor/tensor_file.hpp>

/// Reads elements of every tensor, the first and the last among them, so that the sanitizers see
/// one that lies outside its buffer.
void touch(const mla_scale::Result<mla_scale::tensor::TensorFile>& file);
