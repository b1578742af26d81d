#pragma once

#include <mla_scale/check/check.hpp>

namespace mla_scale::check {

/// Adds what is known beside the numbers: about the inputs and a declared scale.
void add_notes(Check& check, const tensor::Geometry& geometry);

/// A mismatch when out is padded behind v_head_dim with anything but zeros.
void test_padding(Check& check);

} // namespace mla_scale::check
