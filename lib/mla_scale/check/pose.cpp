#include <mla_scale/check/automatic_rows.hpp>
#include <mla_scale/check/expectation.hpp>
#include <mla_scale/check/pose.hpp>

#include <utility>

namespace mla_scale::check {
namespace {

using reference::Form;
using reference::Problem;

constexpr double k_most_flops = 4e12;    // for which all rows are computed without being asked for
constexpr double k_sampled_flops = 4e11; // some seconds

Form form_for(Phase phase, bool expanded, bool latent) {
  if (phase == Phase::decode && latent) {
    return Form::absorbed;
  }
  return expanded ? Form::expanded : Form::latent;
}

} // namespace

Result<void> require_mla(const model::MlaConfig& config) {
  const auto unsupported = [&](std::string message) {
    return Error{ErrorKind::unsupported, std::move(message), config.source, "", {}};
  };
  if (config.attention == model::AttentionKind::shared_kv) {
    return unsupported("check judges Multi-head Latent Attention; this model has one K = V head "
                       "shared by all queries (DeepSeek V4 style)");
  }
  const model::Dims& dims = config.dims;
  const bool has_widths = dims.num_attention_heads && dims.kv_lora_rank && dims.qk_nope_head_dim
                          && dims.qk_rope_head_dim && dims.v_head_dim;
  if (!has_widths) {
    return unsupported("check judges Multi-head Latent Attention; this model lacks one of its "
                       "widths (num_attention_heads, kv_lora_rank, qk_nope_head_dim, "
                       "qk_rope_head_dim, v_head_dim)");
  }
  return {};
}

bool has_expanded(const tensor::Capture& capture) {
  return capture.q && capture.k && capture.v;
}

bool has_latent(const tensor::Capture& capture, const tensor::Geometry& geometry) {
  return capture.q && capture.kv_c && capture.w_uk && capture.w_uv
         && (capture.k_pe || geometry.qk_rope_head_dim == 0);
}

Result<Problem> pose(const model::MlaConfig& config, Check& check) {
  const tensor::Geometry geometry = geometry_of(config);
  const Options& options = check.options;
  check.form =
      form_for(options.phase, has_expanded(check.capture), has_latent(check.capture, geometry));
  auto problem = reference::make_problem(check.capture, check.form, check.softmax_scale,
                                         geometry.qk_rope_head_dim);
  if (!problem) {
    return problem;
  }
  auto heads = choose(options.heads, check.capture.heads, "head");
  auto rows = choose(options.rows, check.capture.query_rows, "query row");
  if (!heads || !rows) {
    return heads ? rows.error() : heads.error();
  }
  problem->heads = std::move(*heads);
  problem->rows = std::move(*rows);
  problem->precision = options.precision;
  problem->threads = options.threads;
  if (config.extras.llama_4_beta && config.extras.llama_4_original) {
    problem->query_factors =
        reference::llama_4_factors(reference::query_positions(check.capture),
                                   *config.extras.llama_4_beta, *config.extras.llama_4_original);
  }
  if (const auto valid = validate(*problem); !valid) {
    return valid.error();
  }
  return problem;
}

std::string choose_rows(Problem& problem, RowChoice choice) {
  const bool wanted = choice == RowChoice::automatic
                      || (choice == RowChoice::by_cost && cost_of(problem) > k_most_flops);
  if (!wanted || !problem.rows.empty()) {
    return {};
  }
  AutomaticRows chosen = automatic_rows(problem, k_sampled_flops);
  if (static_cast<std::int64_t>(chosen.rows.size()) == problem.q.tokens) {
    return {};
  }
  std::string note = describe(chosen, problem.q.tokens);
  problem.rows = std::move(chosen.rows);
  return note + (choice == RowChoice::by_cost ? "; --rows all computes every row" : "");
}

} // namespace mla_scale::check
