#pragma once

#include <mla_scale/check/check.hpp>
#include <mla_scale/core/result.hpp>
#include <mla_scale/reference/problem.hpp>

#include <string>

namespace mla_scale::check {

/// Errors: unsupported for a model whose attention is no MLA, or that lacks one of its widths.
[[nodiscard]] Result<void> require_mla(const model::MlaConfig& config);

/// True when q, k and v are there.
[[nodiscard]] bool has_expanded(const tensor::Capture& capture);

/// True when q, the latent and both parts of kv_b_proj are there.
[[nodiscard]] bool has_latent(const tensor::Capture& capture, const tensor::Geometry& geometry);

/// Attention as the model wants it over the check's capture, with the options' heads, rows and
/// precision; sets the check's form. \pre the capture has one of the two forms
/// Errors: those of make_problem and validate; usage for heads or rows outside the capture.
[[nodiscard]] Result<reference::Problem> pose(const model::MlaConfig& config, Check& check);

/// Chooses rows of a problem that has none chosen; returns what to tell about it, or nothing.
[[nodiscard]] std::string choose_rows(reference::Problem& problem, RowChoice choice);

} // namespace mla_scale::check
