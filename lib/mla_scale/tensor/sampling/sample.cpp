#include <mla_scale/core/number.hpp>
#include <mla_scale/core/parallel.hpp>
#include <mla_scale/tensor/safetensors_writer.hpp>
#include <mla_scale/tensor/sampling/generator.hpp>
#include <mla_scale/tensor/sampling/rounding.hpp>
#include <mla_scale/tensor/sampling/sample.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

namespace mla_scale::tensor::sampling {
namespace {

struct DistributionRow {
  std::string_view name;
  Distribution distribution;
  double spread; ///< standard deviation of the scaled logits, before sink and locality
  double sink;   ///< added to the scaled logit of key 0
  double own;    ///< added to that of the query's own token
};

constexpr std::array<DistributionRow, 4> k_distributions = {{
    {"realistic", Distribution::realistic, 1.6, 3.0, 1.5},
    {"gaussian", Distribution::gaussian, 1.6, 0.0, 0.0},
    {"flat", Distribution::flat, 0.05, 0.0, 0.0},
    {"peaked", Distribution::peaked, 4.0, 0.0, 0.0},
}};

const DistributionRow& row_of(Distribution distribution) {
  return k_distributions[static_cast<std::size_t>(distribution)];
}

/// Tensors of the file, in its order: indices first, so that all are aligned.
enum Place : std::size_t {
  k_positions_k,
  k_positions_q,
  k_k,
  k_k_pe,
  k_k_pe_pre,
  k_kv_b_proj,
  k_kv_c,
  k_q,
  k_q_pre,
  k_v
};

constexpr std::int64_t k_chunk = 64; // tokens computed at a time

using Numbers = std::vector<double>;

double sum_of_squares(const double* values, std::int64_t count) {
  return std::accumulate(values, values + count, 0.0,
                         [](double sum, double value) { return sum + value * value; });
}

// Tokens and rows of weights that are multiplied at a time: as many sums as registers hold.
constexpr std::int64_t k_tokens = 4;
constexpr std::int64_t k_lanes = 4;

/// sums[t][r] = Σ_l tokens[l, t] · weights[l, r], each in ascending order of l.
void multiply(const double* tokens, const float* weights, std::int64_t rank,
              double (&sums)[k_tokens][k_lanes]) {
  using Pair =
      double __attribute__((vector_size(2 * sizeof(double)))); // what any x86-64 adds at once
  Pair low[k_tokens] = {};
  Pair high[k_tokens] = {};
  const auto add = [&](std::size_t token, double value, Pair first, Pair second) {
    const Pair both = {value, value};
    low[token] += both * first;
    high[token] += both * second;
  };
  for (std::int64_t l = 0; l < rank; ++l) {
    const float* const w = weights + l * k_lanes;
    const double* const of = tokens + l * k_tokens;
    const Pair first = {static_cast<double>(w[0]), static_cast<double>(w[1])};
    const Pair second = {static_cast<double>(w[2]), static_cast<double>(w[3])};
    add(0, of[0], first, second);
    add(1, of[1], first, second);
    add(2, of[2], first, second);
    add(3, of[3], first, second);
  }
  for (std::size_t token = 0; token < k_tokens; ++token) {
    std::memcpy(sums[token], &low[token], sizeof low[token]);
    std::memcpy(sums[token] + 2, &high[token], sizeof high[token]);
  }
}

/// Computes and writes one sample, 64 tokens at a time.
class Sampler {
public:
  Sampler(const SampleParameters& parameters, const SafetensorsWriter& writer)
      : m_parameters(parameters), m_writer(writer), m_rank(parameters.geometry.kv_lora_rank),
        m_nope(parameters.geometry.qk_nope_head_dim), m_rope(parameters.geometry.qk_rope_head_dim),
        m_value(parameters.geometry.v_head_dim), m_heads(parameters.heads),
        m_keys(parameters.prefix_len + parameters.seq_len) {}

  Result<void> run() {
    draw_weights();
    m_first_key.resize(size(m_heads * m_nope));
    for (std::int64_t first = 0; m_failure.has_value() && first < m_keys; first += k_chunk) {
      const std::int64_t count = std::min(k_chunk, m_keys - first);
      write_chunk(first, count);
      if (m_parameters.progress) {
        m_parameters.progress(size(first + count), size(m_keys));
      }
    }
    return m_failure;
  }

private:
  template <typename Work>
  void for_each_head(const Work& work) const {
    parallel_for(size(m_heads), m_parameters.threads,
                 [&](std::size_t head) { work(static_cast<std::int64_t>(head)); });
  }

  /// Weights of head h are kept as [rank][nope + v]: the inner loop then runs along both.
  void draw_weights() {
    const std::int64_t rows = m_nope + m_value;
    const Normal normal(m_parameters.seed, Stream::kv_b_proj);
    const double root = std::sqrt(static_cast<double>(m_rank));
    m_weights.resize(size(m_heads * panels() * m_rank * k_lanes));
    std::vector<Result<void>> written(size(m_heads));
    for_each_head([&](std::int64_t head) {
      Numbers values(size(rows * m_rank));
      for (std::int64_t i = 0; i < rows * m_rank; ++i) {
        const double weight =
            round(normal(static_cast<std::uint64_t>(head * rows * m_rank + i)) / root);
        values[size(i)] = weight;
        const std::int64_t row = i / m_rank;
        const std::int64_t place = (head * panels() + row / k_lanes) * m_rank + i % m_rank;
        m_weights[size(place * k_lanes + row % k_lanes)] = static_cast<float>(weight);
      }
      written[size(head)] = put(k_kv_b_proj, head * rows * m_rank, values);
    });
    for (const Result<void>& result : written) {
      keep(result);
    }
  }

  void write_chunk(std::int64_t first, std::int64_t count) {
    const Numbers latent = draw(Stream::kv_c, first * m_rank, count * m_rank);
    const Numbers rope_before = draw(Stream::k_pe_pre, first * m_rope, count * m_rope);
    Numbers rope_after = rope_before;
    for (std::int64_t t = 0; t < count; ++t) {
      rotate(first + t, &rope_after[size(t * m_rope)]);
    }
    keep(put(k_kv_c, first * m_rank, latent));
    keep(put(k_k_pe_pre, first * m_rope, rope_before));
    keep(put(k_k_pe, first * m_rope, rope_after));

    const std::int64_t width = m_nope + m_rope;
    const std::int64_t prefix = m_parameters.prefix_len;
    const std::int64_t first_query = std::max<std::int64_t>(first - prefix, 0);
    const std::int64_t queries = std::max<std::int64_t>(first + count - prefix - first_query, 0);
    Numbers keys(size(count * m_heads * width));
    Numbers values(size(count * m_heads * m_value));
    Numbers queries_before(size(queries * m_heads * width));
    Numbers queries_after(queries_before.size());
    for_each_head([&](std::int64_t head) {
      const Numbers expanded = expand(head, latent, count);
      for (std::int64_t t = 0; t < count; ++t) {
        const double* row = &expanded[size(t * (m_nope + m_value))];
        double* key = &keys[size((t * m_heads + head) * width)];
        std::copy_n(row, m_nope, key);
        std::copy_n(rope_after.data() + t * m_rope, m_rope, key + m_nope);
        std::copy_n(row + m_nope, m_value, &values[size((t * m_heads + head) * m_value)]);
        if (first + t == 0) {
          std::copy_n(row, m_nope, &m_first_key[size(head * m_nope)]);
        }
        const std::int64_t query = first + t - prefix;
        if (query >= 0) {
          const std::size_t at = size(((query - first_query) * m_heads + head) * width);
          write_query(query, head, row, &queries_before[at]);
          std::copy_n(&queries_before[at], width, &queries_after[at]);
          rotate(prefix + query, &queries_after[at] + m_nope);
        }
      }
    });
    keep(put(k_k, first * m_heads * width, keys));
    keep(put(k_v, first * m_heads * m_value, values));
    keep(put(k_q_pre, first_query * m_heads * width, queries_before));
    keep(put(k_q, first_query * m_heads * width, queries_after));
    std::vector<std::int64_t> positions(size(count));
    std::iota(positions.begin(), positions.end(), first);
    keep(put(k_positions_k, first, positions));
    positions.resize(size(queries));
    std::iota(positions.begin(), positions.end(), prefix + first_query);
    keep(put(k_positions_q, first_query, positions));
  }

  /// Panels that the nope + v rows of a head's weights are cut into.
  [[nodiscard]] std::int64_t panels() const { return (m_nope + m_value + k_lanes - 1) / k_lanes; }

  /// [count, nope + v]: the weights of one head times the latent, summed over the rank in order.
  Numbers expand(std::int64_t head, const Numbers& latent, std::int64_t count) const {
    const std::int64_t rows = m_nope + m_value;
    Numbers expanded(size(count * rows));
    Numbers tokens(size(m_rank * k_tokens)); // [rank, tokens]; what the last ones lack stays
    for (std::int64_t t = 0; t < count; t += k_tokens) {
      const std::int64_t some = std::min(k_tokens, count - t);
      for (std::int64_t i = 0; i < some * m_rank; ++i) {
        tokens[size(i % m_rank * k_tokens + i / m_rank)] = latent[size(t * m_rank + i)];
      }
      for (std::int64_t panel = 0; panel < panels(); ++panel) {
        double sums[k_tokens][k_lanes];
        const std::int64_t weights = (head * panels() + panel) * m_rank * k_lanes;
        multiply(tokens.data(), &m_weights[size(weights)], m_rank, sums);
        const std::int64_t columns = std::min(k_lanes, rows - panel * k_lanes);
        for (std::int64_t i = 0; i < some; ++i) {
          for (std::int64_t r = 0; r < columns; ++r) {
            expanded[size((t + i) * rows + panel * k_lanes + r)] = round(sums[i][r]);
          }
        }
      }
    }
    return expanded;
  }

  void write_query(std::int64_t query, std::int64_t head, const double* own_key, double* to) const {
    const DistributionRow& row = row_of(m_parameters.distribution);
    const std::int64_t width = m_nope + m_rope;
    const double scale = m_parameters.softmax_scale;
    const double share =
        static_cast<double>(head) / static_cast<double>(2 * std::max<std::int64_t>(m_heads - 1, 1));
    const double gain =
        row.spread / (scale * std::sqrt(static_cast<double>(width))) * (0.75 + share);
    const Normal normal(m_parameters.seed, Stream::q_pre);
    const double* first_key = &m_first_key[size(head * m_nope)];
    const double sink = row.sink / scale / sum_of_squares(first_key, m_nope);
    const double own = row.own / scale / sum_of_squares(own_key, m_nope);
    const std::int64_t at = (query * m_heads + head) * width;
    for (std::int64_t i = 0; i < width; ++i) {
      double value = gain * normal(static_cast<std::uint64_t>(at + i));
      if (i < m_nope && row.sink > 0.0) {
        value = value + sink * first_key[i] + own * own_key[i];
      }
      to[i] = round(value);
    }
  }

  /// RoPE in place: (x, y) -> (x cos - y sin, y cos + x sin) of each pair.
  void rotate(std::int64_t position, double* values) const {
    const auto& frequencies = m_parameters.inverse_frequencies;
    const auto pairs = static_cast<std::int64_t>(frequencies.size());
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(position) * frequencies[size(i)];
      const double cosine = std::cos(angle) * m_parameters.cos_sin_factor;
      const double sine = std::sin(angle) * m_parameters.cos_sin_factor;
      double& x = values[m_parameters.interleaved ? 2 * i : i];
      double& y = values[m_parameters.interleaved ? 2 * i + 1 : i + pairs];
      const double rotated = x * cosine - y * sine;
      y = round(y * cosine + x * sine);
      x = round(rotated);
    }
  }

  double round(double value) const { return round_to(m_parameters.dtype, value); }

  Numbers draw(Stream stream, std::int64_t first, std::int64_t count) const {
    const Normal normal(m_parameters.seed, stream);
    Numbers values(size(count));
    for (std::int64_t i = 0; i < count; ++i) {
      values[size(i)] = round(normal(static_cast<std::uint64_t>(first + i)));
    }
    return values;
  }

  Result<void> put(Place place, std::int64_t first, const Numbers& values) const {
    std::vector<std::byte> bytes(values.size() * size_of(m_parameters.dtype));
    std::byte* to = bytes.data();
    for (const double value : values) {
      to += store(m_parameters.dtype, value, to);
    }
    return m_writer.write(place, first, bytes);
  }

  Result<void> put(Place place, std::int64_t first, const std::vector<std::int64_t>& values) const {
    std::vector<std::byte> bytes;
    for (const std::int64_t value : values) {
      for (unsigned i = 0; i < 8; ++i) {
        bytes.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
      }
    }
    return m_writer.write(place, first, bytes);
  }

  void keep(const Result<void>& result) {
    if (m_failure.has_value()) {
      m_failure = result;
    }
  }

  const SampleParameters& m_parameters;
  const SafetensorsWriter& m_writer;
  std::int64_t m_rank;
  std::int64_t m_nope;
  std::int64_t m_rope;
  std::int64_t m_value;
  std::int64_t m_heads;
  std::int64_t m_keys;
  std::vector<float> m_weights; // [heads, panels, rank, lanes]
  Numbers m_first_key;          // k_nope of token 0, head by head
  Result<void> m_failure;
};

Result<void> check(const SampleParameters& parameters) {
  const auto unusable = [](std::string message) {
    return Error{ErrorKind::usage, std::move(message), {}, {}, {}};
  };
  const Geometry& geometry = parameters.geometry;
  if (std::min({geometry.num_attention_heads, geometry.kv_lora_rank, geometry.qk_nope_head_dim,
                geometry.v_head_dim})
          < 1
      || geometry.qk_rope_head_dim < 0 || geometry.qk_rope_head_dim % 2 != 0) {
    return unusable("the model's attention widths make no sample");
  }
  if (parameters.heads < 1 || geometry.num_attention_heads % parameters.heads != 0) {
    return unusable(fmt::format("{} heads do not divide the model's {}", parameters.heads,
                                geometry.num_attention_heads));
  }
  constexpr std::int64_t k_max_rows = std::int64_t{1} << 24;
  if (parameters.seq_len < 1 || parameters.seq_len > k_max_rows || parameters.prefix_len < 0
      || parameters.prefix_len > k_max_rows) {
    return unusable(
        fmt::format("{} query rows after a prefix of {}: 1 to {} and 0 to {} are possible",
                    parameters.seq_len, parameters.prefix_len, k_max_rows, k_max_rows));
  }
  if (parameters.dtype != Dtype::bf16 && parameters.dtype != Dtype::f16
      && parameters.dtype != Dtype::f32) {
    return unusable("a sample is of bf16, fp16 or fp32");
  }
  if (!(parameters.softmax_scale > 0.0) || !std::isfinite(parameters.softmax_scale)) {
    return unusable("the softmax scale must be above 0");
  }
  if (!parameters.inverse_frequencies.empty()
      && static_cast<std::int64_t>(parameters.inverse_frequencies.size()) * 2
             != geometry.qk_rope_head_dim) {
    return unusable(fmt::format("{} frequencies do not rotate {} columns",
                                parameters.inverse_frequencies.size(), geometry.qk_rope_head_dim));
  }
  return {};
}

} // namespace

std::optional<Distribution> distribution_named(std::string_view name) {
  const auto* row = std::ranges::find(k_distributions, name, &DistributionRow::name);
  return row == k_distributions.end() ? std::nullopt : std::optional(row->distribution);
}

std::string_view to_string(Distribution distribution) {
  return row_of(distribution).name;
}

Result<std::vector<TensorPlan>> write_sample(const SampleParameters& given,
                                             const std::filesystem::path& path) {
  SampleParameters parameters = given;
  if (parameters.heads == 0) {
    parameters.heads = parameters.geometry.num_attention_heads;
  }
  if (const Result<void> usable = check(parameters); !usable) {
    return usable.error();
  }
  const Geometry& geometry = parameters.geometry;
  const std::int64_t queries = parameters.seq_len;
  const std::int64_t keys = parameters.prefix_len + parameters.seq_len;
  const std::int64_t heads = parameters.heads;
  const std::int64_t width = geometry.qk_head_dim();
  const std::int64_t rope = geometry.qk_rope_head_dim;
  const std::int64_t rank = geometry.kv_lora_rank;
  const Dtype dtype = parameters.dtype;
  const std::vector<TensorPlan> plan = {
      {"positions_k", Dtype::i64, {keys}},
      {"positions_q", Dtype::i64, {queries}},
      {"k", dtype, {keys, heads, width}},
      {"k_pe", dtype, {keys, rope}},
      {"k_pe_pre", dtype, {keys, rope}},
      {"kv_b_proj", dtype, {heads * (geometry.qk_nope_head_dim + geometry.v_head_dim), rank}},
      {"kv_c", dtype, {keys, rank}},
      {"q", dtype, {queries, heads, width}},
      {"q_pre", dtype, {queries, heads, width}},
      {"v", dtype, {keys, heads, geometry.v_head_dim}},
  };
  const std::map<std::string, std::string> metadata = {
      {"generator", "splitmix64-irwin-hall-12"},
      {"seed", std::to_string(parameters.seed)},
      {"distribution", std::string(to_string(parameters.distribution))},
      {"rope", parameters.inverse_frequencies.empty() ? "none"
               : parameters.interleaved               ? "interleaved"
                                                      : "half"},
  };
  Result<SafetensorsWriter> writer = SafetensorsWriter::create(path, plan, metadata);
  if (!writer) {
    return writer.error();
  }
  if (const Result<void> written = Sampler(parameters, *writer).run(); !written) {
    return written.error();
  }
  if (const Result<void> named = writer->commit(); !named) {
    return named.error();
  }
  return plan;
}

} // namespace mla_scale::tensor::sampling
