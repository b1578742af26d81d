#include "capture_files.hpp"
#include "capture_hypothesis.hpp"
#include "capture_join.hpp"
#include "capture_values.hpp"
#include "capture_weights.hpp"

#include <mla_scale/tensor/capture.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace mla_scale::tensor {
namespace {

/// Puts the tensors of the files into the orientation that Capture documents.
class Assembly {
public:
  Assembly(const CaptureFiles& files, const Geometry& geometry, const CaptureOptions& options)
      : m_files(files), m_geometry(geometry), m_options(options) {}

  Result<Capture> run() {
    m_capture.files = m_files.paths;
    m_capture.mapped = m_files.mapped;
    m_capture.tensors = m_files.listing;
    for (const auto step : {&Assembly::read_tokens, &Assembly::read_weights, &Assembly::read_heads,
                            &Assembly::read_lse, &Assembly::read_values}) {
      if (const Result<void> done = (this->*step)(); !done) {
        return done.error();
      }
    }
    name_level();
    return std::move(m_capture);
  }

private:
  Result<std::shared_ptr<const Tensor>> find_floating(std::string_view canonical) {
    return tensor::find_floating(m_files, canonical, m_capture.notes);
  }

  Result<void> read_token_tensor(std::string_view canonical, std::optional<View3>& into,
                                 std::int64_t width, std::int64_t wider) {
    const Result<std::shared_ptr<const Tensor>> tensor = find_floating(canonical);
    if (!tensor || *tensor == nullptr) {
      return tensor ? Result<void>() : tensor.error();
    }
    const std::int64_t widths[] = {width, wider};
    const std::optional<Reading> reading = read_axes_of_tokens(*tensor, widths);
    if (!reading) {
      return wrong(**tensor, fmt::format("its shape {} is not [T, {}] or [B, T, {}]",
                                         shape_text((*tensor)->shape), width, width));
    }
    into = reading->view;
    m_batches_of_tokens = std::max(m_batches_of_tokens, reading->batches);
    return {};
  }

  Result<void> read_tokens() {
    const std::int64_t rank = m_geometry.kv_lora_rank;
    const std::int64_t rope = m_geometry.qk_rope_head_dim;
    if (auto done = read_token_tensor("k_pe", m_capture.k_pe, rope, rope); !done) {
      return done;
    }
    if (auto done = read_token_tensor("k_pe_pre", m_capture.k_pe_pre, rope, rope); !done) {
      return done;
    }
    if (auto done = read_token_tensor("kv_c", m_capture.kv_c, rank, rank + rope); !done) {
      return done;
    }
    if (m_capture.kv_c && m_capture.kv_c->width == rank + rope && rope > 0) {
      const View3 both = *m_capture.kv_c;
      m_capture.kv_c = columns(both, 0, rank);
      const bool used = !m_capture.k_pe;
      if (used) {
        m_capture.k_pe = columns(both, rank, rope);
      }
      m_capture.notes.push_back(
          fmt::format("{} is {} wide: read as kv_c{}", both.tensor->name, rank + rope,
                      used ? " with k_pe after it" : ", what follows is not used"));
    }
    for (const auto* view : {&m_capture.kv_c, &m_capture.k_pe, &m_capture.k_pe_pre}) {
      if (*view) {
        m_shapes.key_rows.push_back(
            {(*view)->tokens,
             fmt::format("{} is {}", (*view)->tensor->name, shape_text((*view)->tensor->shape))});
      }
    }
    for (const KnownRows& known : m_shapes.key_rows) {
      if (known.rows != m_shapes.key_rows.front().rows) {
        const View3& first = m_capture.kv_c ? *m_capture.kv_c : *m_capture.k_pe;
        return wrong(*first.tensor,
                     fmt::format("has {} rows, but {}", first.tokens, known.description));
      }
    }
    return {};
  }

  Result<void> read_weights() {
    Result<CaptureWeights> weights = find_weights(m_files, m_geometry, m_capture.notes);
    if (!weights) {
      return weights.error();
    }
    m_capture.w_uk = std::move(weights->w_uk);
    m_capture.w_uv = std::move(weights->w_uv);
    m_shapes.weight_heads = weights->heads;
    return {};
  }

  struct HeadRow {
    std::string_view canonical;
    std::int64_t width;
    std::int64_t other_width; ///< also accepted
    std::optional<View3>* view;
    bool is_output;
  };

  Result<void> read_heads() {
    const std::int64_t qk = m_geometry.qk_head_dim();
    const std::int64_t v = m_geometry.v_head_dim;
    const HeadRow rows[] = {
        {"q", qk, qk, &m_capture.q, false},
        {"k", qk, qk, &m_capture.k, false},
        {"v", v, qk, &m_capture.v, false},
        {"q_pre", qk, m_geometry.qk_rope_head_dim, &m_capture.q_pre, false},
        {"q_nope", m_geometry.qk_nope_head_dim, m_geometry.qk_nope_head_dim, &m_q_nope, false},
        {"q_pe", m_geometry.qk_rope_head_dim, m_geometry.qk_rope_head_dim, &m_q_pe, false},
        {"out", v, qk, &m_capture.out, true},
    };
    std::vector<std::optional<View3>*> inputs;
    const bool in_parts = m_files.find("q") == nullptr && m_files.find("q_nope") != nullptr
                          && m_files.find("q_pe") != nullptr;
    for (const HeadRow& row : rows) {
      if (!in_parts && (row.view == &m_q_nope || row.view == &m_q_pe)) {
        continue;
      }
      const Result<std::shared_ptr<const Tensor>> tensor = find_floating(row.canonical);
      if (!tensor || *tensor == nullptr) {
        if (!tensor) {
          return tensor.error();
        }
        continue;
      }
      if (row.is_output && (*tensor)->element_count() == 0) {
        m_capture.notes.push_back(
            fmt::format("{} {} is empty: not used", (*tensor)->name, shape_text((*tensor)->shape)));
        continue;
      }
      std::vector<std::int64_t> widths = {row.width};
      if (row.other_width != row.width) {
        widths.push_back(row.other_width);
      }
      std::vector<Reading> readings =
          read_axes_with_heads(*tensor, widths, m_geometry.num_attention_heads,
                               row.is_output ? OneFlatHead::yes : OneFlatHead::no);
      if (readings.empty()) {
        return wrong(**tensor,
                     fmt::format("its shape {} is not [T, H, {}] with H dividing {} heads, nor "
                                 "batched, heads first or flat",
                                 shape_text((*tensor)->shape), row.width,
                                 m_geometry.num_attention_heads));
      }
      (row.is_output ? m_shapes.outputs : m_shapes.inputs)
          .push_back({row.canonical, *tensor, std::move(readings)});
      if (!row.is_output) {
        inputs.push_back(row.view);
      }
    }
    m_shapes.config_heads = m_geometry.num_attention_heads;
    m_shapes.layout = m_options.layout;
    m_shapes.lse = m_files.find("lse");
    if (m_shapes.inputs.empty() && m_shapes.outputs.empty()) {
      m_capture.heads = m_shapes.weight_heads;
      m_capture.key_rows = m_shapes.key_rows.empty() ? 0 : m_shapes.key_rows.front().rows;
      m_batches = m_batches_of_tokens;
      return {};
    }
    Result<Agreement> agreement = agree_on_shapes(m_shapes);
    if (!agreement) {
      return agreement.error();
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      *inputs[i] = agreement->inputs[i].view;
    }
    if (!agreement->outputs.empty()) {
      m_capture.out = agreement->outputs.front().view;
    }
    m_capture.layout =
        (agreement->inputs.empty() ? agreement->outputs : agreement->inputs).front().layout;
    m_capture.notes.insert(m_capture.notes.end(), agreement->notes.begin(), agreement->notes.end());
    m_capture.heads = agreement->heads;
    m_capture.query_rows = agreement->query_rows;
    m_capture.key_rows = agreement->key_rows;
    m_batches = std::max(agreement->batches, m_batches_of_tokens);
    if (m_q_nope && m_q_pe) {
      Result<View3> joined = join_columns(*m_q_nope, *m_q_pe);
      if (!joined) {
        return joined.error();
      }
      m_capture.q = std::move(*joined);
      m_capture.notes.push_back(fmt::format("q is {}", m_capture.q->tensor->name));
    }
    cut_padding();
    return check_weight_heads();
  }

  void cut_padding() {
    const std::int64_t v = m_geometry.v_head_dim;
    if (m_capture.v && m_capture.v->width > v) {
      m_capture.v = columns(*m_capture.v, 0, v);
      m_capture.notes.push_back(fmt::format("v came padded to {}", m_geometry.qk_head_dim()));
    }
    if (m_capture.out && m_capture.out->width > v) {
      const View3 padded = *m_capture.out;
      m_capture.out = columns(padded, 0, v);
      m_capture.out_padding = columns(padded, v, padded.width - v);
      m_capture.notes.push_back(fmt::format("out came padded to {}", m_geometry.qk_head_dim()));
    }
  }

  /// kv_b_proj of the whole model beside the heads of one rank: which rows belong to them is
  /// unknown.
  Result<void> check_weight_heads() {
    if (m_shapes.weight_heads == 0 || m_shapes.weight_heads == m_capture.heads) {
      return {};
    }
    const Tensor& weight = *(m_capture.w_uk ? m_capture.w_uk : m_capture.w_uv)->tensor;
    const std::string message = fmt::format("holds {} heads, but the capture holds {} of them",
                                            m_shapes.weight_heads, m_capture.heads);
    if (!m_capture.k || !m_capture.v) {
      return wrong(weight, message + ": cut its rows to those of this rank");
    }
    m_capture.w_uk.reset();
    m_capture.w_uv.reset();
    m_capture.notes.push_back(
        fmt::format("{} {}: not used, since which they are is unknown", weight.name, message));
    return {};
  }

  Result<void> read_lse() {
    const Result<std::shared_ptr<const Tensor>> tensor = find_floating("lse");
    if (!tensor) {
      return tensor.error();
    }
    if (*tensor == nullptr) {
      return {};
    }
    const Result<LseBase> base = find_lse_base(m_files, m_capture.notes);
    if (!base) {
      return base.error();
    }
    m_capture.lse_base = *base;
    if (m_capture.query_rows == 0 || m_capture.heads == 0) {
      m_capture.notes.push_back("lse is not used: no q or out tells its heads and rows");
      return {};
    }
    const std::optional<LseReading> reading =
        read_axes_of_lse(*tensor, m_batches, m_capture.query_rows, m_capture.heads);
    if (!reading) {
      return wrong(**tensor, fmt::format("its shape {} is neither [H, T] nor [T, H] of {} heads "
                                         "and {} query rows",
                                         shape_text((*tensor)->shape), m_capture.heads,
                                         m_capture.query_rows));
    }
    m_capture.lse = reading->view;
    if (reading->ambiguous) {
      m_capture.notes.push_back(
          fmt::format("lse {} has as many heads as rows: read as {}, as torch writes it",
                      shape_text((*tensor)->shape), reading->layout));
    } else if (reading->layout.find("T,H") != std::string::npos) {
      m_capture.notes.push_back(fmt::format("lse read as {}", reading->layout));
    }
    if (reading->padded) {
      m_capture.notes.push_back("lse came with its rows padded to a multiple of 32");
    }
    return {};
  }

  Result<void> read_values() {
    if (auto done = apply_scales(m_files, m_capture); !done) {
      return done;
    }
    Result<std::optional<double>> declared = find_scalar(m_files, "softmax_scale");
    if (!declared) {
      return declared.error();
    }
    m_capture.declared_softmax_scale = *declared;
    auto sequences = find_sequences(m_files, m_batches, m_capture.query_rows, m_capture.key_rows,
                                    m_capture.notes);
    if (!sequences) {
      return sequences.error();
    }
    m_capture.sequences = std::move(*sequences);
    return find_positions(m_files, m_batches, m_capture);
  }

  void name_level() {
    const bool expanded = m_capture.q && m_capture.k && m_capture.v;
    const bool weights = m_capture.w_uk && m_capture.w_uv;
    const bool latent = m_capture.q && m_capture.kv_c && m_capture.k_pe && weights;
    m_capture.level = expanded && latent ? "expanded+latent"
                      : expanded         ? "expanded"
                      : latent           ? "latent"
                                         : "none";
    const auto need = [&](bool there, const char* name) {
      if (!there) {
        m_capture.missing.emplace_back(name);
      }
    };
    if (!expanded && !latent) {
      const bool nearer_latent =
          !m_capture.k && !m_capture.v && (m_capture.kv_c || m_capture.k_pe || weights);
      need(m_capture.q.has_value(), "q");
      need(nearer_latent || m_capture.k, "k");
      need(nearer_latent || m_capture.v, "v");
      need(!nearer_latent || m_capture.kv_c, "kv_c");
      need(!nearer_latent || m_capture.k_pe, "k_pe");
      need(!nearer_latent || weights, "kv_b_proj");
    }
    need(m_capture.out.has_value(), "out");
  }

  const CaptureFiles& m_files;
  const Geometry& m_geometry;
  const CaptureOptions& m_options;
  Shapes m_shapes;
  std::int64_t m_batches_of_tokens = 1;
  std::int64_t m_batches = 1;
  std::optional<View3> m_q_nope; // parts of a q that came in two
  std::optional<View3> m_q_pe;
  Capture m_capture;
};

Result<void> check_request(const Geometry& geometry, const CaptureOptions& options) {
  if (std::min({geometry.num_attention_heads, geometry.kv_lora_rank, geometry.qk_nope_head_dim,
                geometry.v_head_dim})
          < 1
      || geometry.qk_rope_head_dim < 0) {
    return Error{ErrorKind::schema, "the model's attention widths must be above 0", {}, {}, {}};
  }
  for (const std::string_view known : {"", "thd", "htd", "bthd", "bhtd"}) {
    if (options.layout == known) {
      break;
    }
    if (known == "bhtd") {
      return Error{ErrorKind::usage,
                   fmt::format("unknown layout \"{}\": thd, htd, bthd or bhtd", options.layout),
                   {},
                   {},
                   {}};
    }
  }
  return {};
}

} // namespace

Result<Capture> read_capture(const std::vector<std::filesystem::path>& files,
                             const Geometry& geometry, const CaptureOptions& options) {
  if (const Result<void> valid = check_request(geometry, options); !valid) {
    return valid.error();
  }
  const Result<CaptureFiles> opened = open_capture_files(files);
  if (!opened) {
    return opened.error();
  }
  return Assembly(*opened, geometry, options).run();
}

Result<Capture> capture_of(std::vector<std::shared_ptr<const Tensor>> tensors,
                           const Geometry& geometry, const CaptureOptions& options) {
  if (const Result<void> valid = check_request(geometry, options); !valid) {
    return valid.error();
  }
  const Result<CaptureFiles> gathered = gather_tensors(std::move(tensors));
  if (!gathered) {
    return gathered.error();
  }
  return Assembly(*gathered, geometry, options).run();
}

Result<void> check_unchanged(const Capture& capture) {
  for (const std::shared_ptr<const MappedFile>& file : capture.mapped) {
    if (const Result<void> unchanged = file->check_unchanged(); !unchanged) {
      return unchanged;
    }
  }
  return {};
}

} // namespace mla_scale::tensor
