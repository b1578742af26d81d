#include "capture_values.hpp"

#include "block_factors.hpp"

#include <mla_scale/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace mla_scale::tensor {

Error wrong(const Tensor& tensor, std::string message) {
  return Error{ErrorKind::schema, std::move(message), tensor.file, tensor.name, {}};
}

namespace {

constexpr std::int64_t k_most_numbers = std::int64_t{1} << 24; // 128 MiB of scales

/// Calls `visit` with each index in C order.
template <typename Visit>
void for_each_index(const Tensor& tensor, const Visit& visit) {
  std::vector<std::int64_t> index(tensor.shape.size(), 0);
  for (std::int64_t i = tensor.element_count(); i > 0; --i) {
    visit(index);
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < tensor.shape[axis]) {
        break;
      }
      index[axis] = 0;
    }
  }
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() && std::isfinite(value)
             ? std::optional(value)
             : std::nullopt;
}

/// In small letters, without blanks, underscores, dashes and quotes.
std::string plain(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (std::string_view(" \t_-\"'").find(c) == std::string_view::npos) {
      result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return result;
}

/// The base that a word or number says; nothing for other words.
std::optional<LseBase> base_named(std::string_view text) {
  const std::string word = plain(text);
  for (const std::string_view two : {"2", "2.0", "log2", "base2", "two", "exp2"}) {
    if (word == two) {
      return LseBase::two;
    }
  }
  for (const std::string_view natural :
       {"e", "natural", "naturallog", "ln", "log", "loge", "basee", "nat", "nats", "exp"}) {
    if (word == natural) {
      return LseBase::natural;
    }
  }
  const std::optional<double> number = parse_number(word);
  return number && std::fabs(*number - std::exp(1.0)) < 1e-3 ? std::optional(LseBase::natural)
                                                             : std::nullopt;
}

/// True for keys with a word that starts so, such as "softmax_lse_base", but not "false".
bool speaks_of_lse(std::string_view key) {
  std::string small;
  for (const char c : key) {
    small += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const std::string_view word : {"lse", "logsumexp"}) {
    for (std::size_t i = small.find(word); i != std::string::npos; i = small.find(word, i + 1)) {
      if (i == 0 || small[i - 1] < 'a' || small[i - 1] > 'z') {
        return true;
      }
    }
  }
  return false;
}

/// Names under which the metadata of a file may hold a softmax scale.
constexpr std::array<std::string_view, 4> k_scale_keys = {"softmax_scale", "sm_scale", "scale",
                                                          "scaling"};

Result<std::vector<std::int64_t>> find_offsets(const CaptureFiles& files,
                                               std::string_view canonical, std::int64_t rows,
                                               std::vector<std::string>& notes) {
  std::shared_ptr<const Tensor> tensor = files.find(canonical);
  if (tensor == nullptr) {
    tensor = files.find("cu_seqlens");
  }
  if (tensor == nullptr) {
    return std::vector<std::int64_t>();
  }
  Result<std::vector<std::int64_t>> offsets = read_integers(*tensor);
  if (!offsets) {
    return offsets;
  }
  if (tensor->shape.size() != 1 || offsets->size() < 2) {
    return wrong(*tensor, fmt::format("its shape {} is not [B+1] of at least one request",
                                      shape_text(tensor->shape)));
  }
  if (offsets->front() != 0) {
    return wrong(*tensor, fmt::format("starts at {}, not at 0", offsets->front()));
  }
  for (std::size_t i = 1; i < offsets->size(); ++i) {
    if ((*offsets)[i] < (*offsets)[i - 1]) {
      return wrong(*tensor, fmt::format("falls from {} to {}", (*offsets)[i - 1], (*offsets)[i]));
    }
  }
  if (offsets->back() > rows) {
    return wrong(*tensor, fmt::format("ends at row {}, but there are {}", offsets->back(), rows));
  }
  if (offsets->back() < rows) {
    notes.push_back(fmt::format("rows from {} on belong to no request of {}: not judged",
                                offsets->back(), tensor->name));
  }
  return offsets;
}

Result<std::vector<std::int64_t>> find_row_positions(const std::shared_ptr<const Tensor>& tensor,
                                                     std::int64_t batches, std::int64_t rows) {
  Result<std::vector<std::int64_t>> positions = read_integers(*tensor);
  if (!positions) {
    return positions;
  }
  const auto count = static_cast<std::int64_t>(positions->size());
  if (count == rows) {
    return positions;
  }
  if (batches > 1 && count * batches == rows) {
    std::vector<std::int64_t> repeated;
    for (std::int64_t i = 0; i < batches; ++i) {
      repeated.insert(repeated.end(), positions->begin(), positions->end());
    }
    return repeated;
  }
  return wrong(*tensor, fmt::format("its shape {} holds {} positions for {} rows",
                                    shape_text(tensor->shape), count, rows));
}

struct ScaledView {
  std::string_view canonical;
  std::optional<View3> Capture::*view;
  std::array<std::string_view, 3> scales; ///< the first that the capture holds counts
};

constexpr std::array<ScaledView, 10> k_scaled = {{
    {"q", &Capture::q, {"q_scale"}},
    {"q_pre", &Capture::q_pre, {"q_scale"}},
    {"k", &Capture::k, {"k_scale", "kv_scale"}},
    {"v", &Capture::v, {"v_scale", "kv_scale"}},
    {"kv_c", &Capture::kv_c, {"kv_scale", "k_scale"}},
    {"k_pe", &Capture::k_pe, {"k_pe_scale", "kv_scale", "k_scale"}},
    {"k_pe_pre", &Capture::k_pe_pre, {"k_pe_scale", "kv_scale", "k_scale"}},
    {"w_uk", &Capture::w_uk, {"w_uk_scale", "kv_b_proj_scale"}},
    {"w_uv", &Capture::w_uv, {"w_uv_scale", "kv_b_proj_scale"}},
    {"out", &Capture::out, {"out_scale"}},
}};

Result<void> apply_scale(const Tensor& scale, View3& view) {
  Result<std::vector<double>> factors = read_numbers(scale);
  if (!factors) {
    return factors.error();
  }
  for (const double factor : *factors) {
    // A block of nothing but zeros may have the scale 0.
    if (!std::isfinite(factor) || (factor == 0.0 && factors->size() == 1)) {
      return wrong(scale, fmt::format("holds {}, which is no scale", format_number(factor)));
    }
  }
  if (factors->size() == 1) {
    view.dequantise = factors->front();
    return {};
  }
  const bool by_head = static_cast<std::int64_t>(factors->size()) == view.heads;
  const bool has_axes = scale.shape.size() == view.tensor->shape.size();
  if (!by_head || has_axes) {
    if (auto blocks = find_blocks(*view.tensor, scale.shape, view.heads)) {
      blocks->values = std::move(*factors);
      view.dequantise_by_block = std::make_shared<const BlockFactors>(std::move(*blocks));
      return {};
    }
  }
  if (by_head) {
    view.dequantise_by_head = std::move(*factors);
    return {};
  }
  return wrong(scale,
               fmt::format("its shape {} is neither one scale, nor one for each of {} heads, "
                           "nor one for each token, channel or block of {}",
                           shape_text(scale.shape), view.heads, shape_text(view.tensor->shape)));
}

} // namespace

Result<std::shared_ptr<const Tensor>> find_floating(const CaptureFiles& files,
                                                    std::string_view canonical,
                                                    std::vector<std::string>& notes) {
  std::shared_ptr<const Tensor> tensor = files.find(canonical);
  if (tensor == nullptr || is_floating(tensor->dtype)) {
    return tensor;
  }
  const bool bf16 = tensor->dtype == Dtype::u16 || tensor->dtype == Dtype::i16;
  if (!bf16 && tensor->dtype != Dtype::u8) {
    return wrong(*tensor, fmt::format("is of {}, but must be of floating-point numbers",
                                      to_string(tensor->dtype)));
  }
  auto viewed = std::make_shared<Tensor>(*tensor);
  viewed->dtype = bf16 ? Dtype::bf16 : Dtype::f8_e4m3fn;
  notes.push_back(fmt::format("{} is of {}: read as the bits of {}", tensor->name,
                              to_string(tensor->dtype), to_string(viewed->dtype)));
  return std::shared_ptr<const Tensor>(std::move(viewed));
}

Result<std::vector<std::int64_t>> read_integers(const Tensor& tensor) {
  if (is_floating(tensor.dtype) || tensor.dtype == Dtype::boolean) {
    return wrong(tensor, fmt::format("is of {}, but must be of integers", to_string(tensor.dtype)));
  }
  std::vector<std::int64_t> values;
  for_each_index(tensor, [&](const auto& index) { values.push_back(tensor.integer_at(index)); });
  return values;
}

Result<std::vector<double>> read_numbers(const Tensor& tensor) {
  if (tensor.element_count() > k_most_numbers) {
    return wrong(tensor,
                 fmt::format("its shape {} is too large for scales", shape_text(tensor.shape)));
  }
  std::vector<double> values;
  for_each_index(tensor, [&](const auto& index) { values.push_back(tensor.at(index)); });
  return values;
}

Result<std::optional<double>> find_scalar(const CaptureFiles& files, std::string_view canonical) {
  if (const std::shared_ptr<const Tensor> tensor = files.find(canonical)) {
    if (tensor->element_count() != 1) {
      return wrong(*tensor,
                   fmt::format("its shape {} is not one number", shape_text(tensor->shape)));
    }
    const double value = tensor->at(std::vector<std::int64_t>(tensor->shape.size(), 0));
    if (!std::isfinite(value)) {
      return wrong(*tensor, "is not finite");
    }
    return std::optional(value);
  }
  if (canonical == "softmax_scale") {
    for (const std::string_view key : k_scale_keys) {
      if (const auto text = files.find_metadata(key, {})) {
        return parse_number(*text);
      }
    }
  }
  return std::optional<double>();
}

Result<LseBase> find_lse_base(const CaptureFiles& files, std::vector<std::string>& notes) {
  const std::shared_ptr<const Tensor> lse = files.find("lse");
  const std::string file = lse == nullptr ? std::string() : lse->file;
  std::optional<std::string> text = files.find_metadata("lse_base", file);
  if (files.find("lse_base") != nullptr) {
    const Result<std::optional<double>> number = find_scalar(files, "lse_base");
    if (!number) {
      return number.error();
    }
    text = format_number(number->value_or(0));
  }
  if (text) {
    if (const std::optional<LseBase> base = base_named(*text)) {
      return *base;
    }
    return Error{ErrorKind::schema,
                 fmt::format("lse_base is \"{}\", but must be \"2\" or \"e\"", text->substr(0, 40)),
                 file,
                 "lse_base",
                 {}};
  }
  std::optional<LseBase> found;
  for (const auto& [path, entries] : files.metadata) {
    for (const auto& [key, value] : entries) {
      if (!speaks_of_lse(key)) {
        continue;
      }
      const std::optional<LseBase> base = base_named(value);
      if (!base) {
        notes.push_back(fmt::format("the metadata's {} \"{}\" is not understood as a base of lse",
                                    key.substr(0, 40), value.substr(0, 40)));
      } else if (!found || path == file) {
        found = base;
      }
    }
  }
  return found.value_or(LseBase::natural);
}

Result<std::vector<Sequence>> find_sequences(const CaptureFiles& files, std::int64_t batches,
                                             std::int64_t query_rows, std::int64_t key_rows,
                                             std::vector<std::string>& notes) {
  auto queries = find_offsets(files, "cu_seqlens_q", query_rows, notes);
  if (!queries) {
    return queries.error();
  }
  auto keys = find_offsets(files, "cu_seqlens_k", key_rows, notes);
  if (!keys) {
    return keys.error();
  }
  std::vector<Sequence> sequences;
  if (queries->empty() && keys->empty()) {
    for (std::int64_t i = 0; i < batches; ++i) {
      sequences.push_back({i * query_rows / batches, (i + 1) * query_rows / batches,
                           i * key_rows / batches, (i + 1) * key_rows / batches});
    }
    return sequences;
  }
  const std::string_view lone = queries->empty() ? "cu_seqlens_k" : "cu_seqlens_q";
  if (queries->empty() || keys->empty()) {
    if (query_rows != key_rows) {
      return Error{ErrorKind::schema,
                   fmt::format("{} alone does not tell the requests of {} query and {} key rows",
                               lone, query_rows, key_rows),
                   files.paths.empty() ? std::string() : files.paths.front(),
                   std::string(lone),
                   {}};
    }
    (queries->empty() ? *queries : *keys) = queries->empty() ? *keys : *queries;
  }
  if (queries->size() != keys->size()) {
    return Error{ErrorKind::schema,
                 fmt::format("cu_seqlens_q counts {} requests, cu_seqlens_k {}",
                             queries->size() - 1, keys->size() - 1),
                 files.paths.empty() ? std::string() : files.paths.front(),
                 "cu_seqlens_q",
                 {}};
  }
  for (std::size_t i = 0; i + 1 < queries->size(); ++i) {
    sequences.push_back({(*queries)[i], (*queries)[i + 1], (*keys)[i], (*keys)[i + 1]});
  }
  return sequences;
}

Result<void> find_positions(const CaptureFiles& files, std::int64_t batches, Capture& capture) {
  const auto read = [&](std::string_view canonical, std::int64_t rows,
                        std::vector<std::int64_t>& into) -> Result<void> {
    const std::shared_ptr<const Tensor> tensor = files.find(canonical);
    if (tensor == nullptr || rows == 0) {
      return {};
    }
    Result<std::vector<std::int64_t>> positions = find_row_positions(tensor, batches, rows);
    if (!positions) {
      return positions.error();
    }
    into = std::move(*positions);
    return {};
  };
  if (auto done = read("positions_q", capture.query_rows, capture.positions_q); !done) {
    return done;
  }
  if (auto done = read("positions_k", capture.key_rows, capture.positions_k); !done) {
    return done;
  }
  const std::shared_ptr<const Tensor> both = files.find("positions");
  if (both == nullptr || (capture.query_rows == 0 && capture.key_rows == 0)) {
    return {};
  }
  const std::int64_t count = both->element_count();
  const auto counts = [&](std::int64_t rows) { return count == rows || count * batches == rows; };
  if (!counts(capture.query_rows) && !counts(capture.key_rows)) {
    return wrong(*both,
                 fmt::format("its shape {} holds {} positions for {} query and {} key rows",
                             shape_text(both->shape), count, capture.query_rows, capture.key_rows));
  }
  if (capture.positions_q.empty() && counts(capture.query_rows)) {
    if (auto done = read("positions", capture.query_rows, capture.positions_q); !done) {
      return done;
    }
  }
  if (capture.positions_k.empty() && counts(capture.key_rows)) {
    return read("positions", capture.key_rows, capture.positions_k);
  }
  return {};
}

bool has_scale(const Capture& capture, std::string_view canonical) {
  const auto row = std::ranges::find(k_scaled, canonical, &ScaledView::canonical);
  return row != k_scaled.end()
         && std::ranges::any_of(capture.tensors, [&](const CaptureTensor& one) {
              return !one.canonical.empty()
                     && std::ranges::find(row->scales, one.canonical) != row->scales.end();
            });
}

Result<void> apply_scales(const CaptureFiles& files, Capture& capture) {
  for (const ScaledView& row : k_scaled) {
    std::optional<View3>& view = capture.*(row.view);
    if (!view) {
      continue;
    }
    const bool quantised = is_float8(view->tensor->dtype);
    bool found = false;
    for (const std::string_view name : row.scales) {
      const std::shared_ptr<const Tensor> scale = name.empty() ? nullptr : files.find(name);
      if (scale == nullptr || found) {
        continue;
      }
      found = true;
      if (!quantised) {
        capture.notes.push_back(fmt::format("{} is {}: {} is not applied to it", row.canonical,
                                            to_string(view->tensor->dtype), scale->name));
      } else if (const Result<void> done = apply_scale(*scale, *view); !done) {
        return done;
      }
    }
    if (quantised && !found) {
      capture.notes.push_back(fmt::format("{} is {} without a scale tensor: taken as 1",
                                          row.canonical, to_string(view->tensor->dtype)));
    }
  }
  return {};
}

} // namespace mla_scale::tensor
