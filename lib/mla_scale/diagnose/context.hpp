#pragma once

#include <mla_scale/diagnose/candidate.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace mla_scale::diagnose {

/// What proposers read, for these rows of a sample: probes over up to four heads, half of the rows
/// for fits.
[[nodiscard]] Context make_context(const reference::Problem& problem,
                                   const tensor::Capture& capture, const Expectation& expectation,
                                   const Sample& sample, const Predictor& predictor,
                                   std::vector<std::size_t> rows, double scale_bias);

/// Of a context with long rows the same with short rows alone as probes and for fits; nothing where
/// no row is long, or few are short.
[[nodiscard]] std::optional<Context> on_short_rows(const Context& context);

} // namespace mla_scale::diagnose
