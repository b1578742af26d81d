#include <mla_scale/check/automatic_rows.hpp>
#include <mla_scale/check/check.hpp>
#include <mla_scale/check/doubts.hpp>
#include <mla_scale/check/expectation.hpp>
#include <mla_scale/core/text.hpp>
#include <mla_scale/diagnose/diagnose.hpp>
#include <mla_scale/diagnose/hypothesis.hpp>
#include <mla_scale/diagnose/scale_candidates.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace mla_scale::check {
namespace {

using compare::Verdict;
using reference::Form;
using reference::Problem;

constexpr double k_most_flops = 4e12; // for which all rows are computed without being asked for
constexpr double k_sampled_flops = 1e12;
constexpr std::int64_t k_few_heads = 2;
constexpr std::int64_t k_few_logits = 100'000;
constexpr double k_same_scale = 1e-5; // of a declared scale, which is often a float32

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

Form form_for(Phase phase, bool expanded, bool latent) {
  if (phase == Phase::decode && latent) {
    return Form::absorbed;
  }
  return expanded ? Form::expanded : Form::latent;
}

/// q · k and v of the latent path against the captured k and v, on a few key rows.
double disagreement(const tensor::Capture& capture, const tensor::Geometry& geometry,
                    double softmax_scale) {
  const auto expanded =
      reference::make_problem(capture, Form::expanded, softmax_scale, geometry.qk_rope_head_dim);
  const auto latent =
      reference::make_problem(capture, Form::latent, softmax_scale, geometry.qk_rope_head_dim);
  if (!expanded || !latent) {
    return 0.0;
  }
  constexpr std::int64_t k_rows = 32;
  double error = 0.0;
  double size = 0.0;
  const std::int64_t rows = std::min(k_rows, capture.key_rows);
  for (const std::int64_t head : {std::int64_t{0}, capture.heads - 1}) {
    reference::KeyTiles<double> left(*expanded, head);
    reference::KeyTiles<double> right(*latent, head);
    std::vector<double> keys(static_cast<std::size_t>(2 * rows * left.key_width()));
    std::vector<double> values(static_cast<std::size_t>(2 * rows * left.value_width()));
    left.load(capture.key_rows - rows, rows, keys.data(), values.data());
    right.load(capture.key_rows - rows, rows, keys.data() + rows * left.key_width(),
               values.data() + rows * left.value_width());
    for (const std::vector<double>* both : {&keys, &values}) {
      const std::size_t half = both->size() / 2;
      for (std::size_t i = 0; i < half; ++i) {
        const double difference = (*both)[half + i] - (*both)[i];
        error += difference * difference;
        size += (*both)[i] * (*both)[i];
      }
    }
  }
  return size > 0.0 ? std::sqrt(error / size) : 0.0;
}

/// Adds what is known beside the numbers: about the inputs, the padding and a declared scale.
void add_notes(Check& check, const tensor::Geometry& geometry) {
  compare::Judgement& judgement = check.judgement;
  if (has_expanded(check.capture) && has_latent(check.capture, geometry)) {
    // fp8 and bf16 round k and v by up to 4 %; a wrong split or head order makes it 100 %.
    const double distance = disagreement(check.capture, geometry, check.softmax_scale);
    if (distance > 0.1) {
      judgement.notes.push_back(fmt::format(
          "k and v do not follow from kv_c, k_pe and kv_b_proj: they differ by {:.2g} of their "
          "size; {} was used",
          distance, to_string(check.form)));
    }
  }
  const std::optional<double>& declared = check.capture.declared_softmax_scale;
  if (declared && std::abs(*declared - check.softmax_scale) > k_same_scale * check.softmax_scale) {
    judgement.notes.push_back(fmt::format("the capture says that its kernel was given {}, not {}",
                                          format_number(*declared),
                                          format_number(check.softmax_scale)));
  }
  for (const std::string& note : check.capture.notes) {
    judgement.notes.push_back(note);
  }
}

void test_padding(Check& check) {
  if (!check.capture.out_padding) {
    return;
  }
  const tensor::View3& padding = *check.capture.out_padding;
  std::vector<double> row(static_cast<std::size_t>(padding.width));
  for (const std::int64_t token : check.rows) {
    for (const std::int64_t head : check.heads) {
      padding.read(token, head, 0, padding.width, row.data());
      const auto filled = std::find_if(row.begin(), row.end(), [](double x) { return x != 0.0; });
      if (filled != row.end()) {
        check.judgement.verdict = Verdict::mismatch;
        check.judgement.reasons.push_back(fmt::format(
            "out: column {} behind v_head_dim holds {} at row {}, head {}; padding must be zero",
            filled - row.begin(), format_number(*filled), token, head));
        return;
      }
    }
  }
}

compare::Judgement without_inputs(const tensor::Capture& capture) {
  compare::Judgement judgement;
  judgement.verdict = Verdict::inconclusive;
  judgement.reasons.push_back(fmt::format("the capture lacks {}: there is nothing to compute from",
                                          fmt::join(capture.missing, ", ")));
  judgement.advice.emplace_back("save q with k and v, or q with kv_c, k_pe and kv_b_proj; "
                                "or name the file that holds them as well");
  for (const auto& [name, present] :
       {std::pair("out", capture.out.has_value()), std::pair("lse", capture.lse.has_value())}) {
    if (!present) { // one that is there was not compared, and is not missing
      judgement.tensors.emplace_back();
      judgement.tensors.back().name = name;
    }
  }
  return judgement;
}

/// The judgement, and for models with a Llama-4 temperature whether q may carry it already.
Result<compare::Judgement> judge_with_temperature(const Problem& problem,
                                                  const tensor::Capture& capture,
                                                  const compare::JudgeOptions& options) {
  auto judgement = compare::judge(problem, capture, options);
  const bool changes = std::any_of(problem.query_factors.begin(), problem.query_factors.end(),
                                   [](double factor) { return factor != 1.0; });
  if (!judgement || !changes || judgement->verdict != Verdict::mismatch) {
    return judgement;
  }
  Problem plain = problem;
  plain.query_factors.clear();
  auto without = compare::judge(plain, capture, options);
  if (without && without->verdict == Verdict::match) {
    without->verdict = Verdict::inconclusive;
    without->reasons.emplace_back("it matches if q carries the model's Llama-4 temperature, and "
                                  "lacks it if q does not");
    without->advice.emplace_back("save q_pre as well, from before RoPE and temperature");
    return without;
  }
  return judgement;
}

/// A square lse may be [heads, rows] or [rows, heads]; when only the other reading matches, that is
/// how it was meant.
void try_other_lse(const Problem& problem, tensor::Capture& capture,
                   const compare::JudgeOptions& options, compare::Judgement& judgement) {
  const bool lse_wrong =
      std::any_of(judgement.tensors.begin(), judgement.tensors.end(), [](const auto& tensor) {
        return tensor.name == "lse" && tensor.status == compare::Status::mismatch;
      });
  if (!lse_wrong || capture.lse->tokens != capture.lse->heads || capture.lse->batch_tokens != 0
      || capture.lse->heads < 2) {
    return;
  }
  tensor::Capture other = capture;
  std::swap(other.lse->token_stride, other.lse->head_stride);
  auto again = compare::judge(problem, other, options);
  if (again && again->verdict == Verdict::match) {
    again->notes.emplace_back("lse is square and matches only when read the other way round");
    capture = std::move(other);
    judgement = std::move(*again);
  }
}

/// (head, row) pairs where the comparison saw the largest errors, worst heads first.
std::vector<std::pair<std::int64_t, std::int64_t>>
suspects_of(const compare::Judgement& judgement) {
  std::vector<std::pair<std::int64_t, std::int64_t>> suspects;
  std::vector<std::pair<double, std::int64_t>> heads;
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    for (const compare::GroupError& group : tensor.by_head) {
      if (group.bad) {
        heads.emplace_back(-group.floor_ratio, group.first);
      }
    }
  }
  std::sort(heads.begin(), heads.end());
  for (const auto& [ratio, head] : heads) {
    for (const compare::TensorComparison& tensor : judgement.tensors) {
      if (!tensor.worst.empty()) {
        suspects.emplace_back(head, tensor.worst.front().index[0]);
        break;
      }
    }
  }
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    for (const compare::ElementDifference& worst : tensor.worst) {
      suspects.emplace_back(worst.index[1], worst.index[0]);
    }
  }
  return suspects;
}

diagnose::Finding scale_finding(const Check& check, const std::string& id, double softmax_scale) {
  const compare::ScaleFit& fit = *check.judgement.fit;
  const auto* hypothesis = diagnose::find_hypothesis(id);
  return {id,
          std::string(hypothesis->title),
          {{"softmax_scale", softmax_scale},
           {"expected", check.softmax_scale},
           {"ratio", softmax_scale / check.softmax_scale},
           {"fitted", fit.softmax_scale},
           {"standard_error", fit.standard_error}},
          check.diagnosis.null_ratio,
          fmt::format("fitted scale {:.7g} ± {:.1g} from {}; the error is too small to show more",
                      fit.softmax_scale, fit.standard_error, fit.from),
          std::string(hypothesis->look_at)};
}

/// Of a mismatch so small that no hypothesis is likelier than the expectation: what the fit says.
void explain_small_error(const diagnose::Expectation& expectation, Check& check) {
  constexpr double k_many_errors = 6.0;
  constexpr double k_few_errors = 4.0;
  const std::optional<compare::ScaleFit>& fit = check.judgement.fit;
  if (!fit || !fit->converged
      || std::abs(fit->softmax_scale - check.softmax_scale) < k_many_errors * fit->standard_error) {
    check.diagnosis.unexplained =
        "the error is larger than a healthy kernel's, and too small to show which bug made it";
    return;
  }
  const auto distance = [&](const diagnose::ScaleCandidate& candidate) {
    return std::abs(candidate.value - fit->softmax_scale);
  };
  auto candidates = diagnose::scale_candidates(expectation);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  auto& findings = check.diagnosis.findings;
  for (const diagnose::ScaleCandidate& candidate : candidates) {
    const bool known = std::any_of(findings.begin(), findings.end(),
                                   [&](const auto& one) { return one.id == candidate.id; });
    if (!known && distance(candidate) < k_few_errors * fit->standard_error) {
      findings.push_back(scale_finding(check, candidate.id, candidate.value));
    }
  }
  if (findings.empty()) {
    findings.push_back(scale_finding(check, "scale.other", fit->softmax_scale));
  }
}

/// Tells what the judgement saw of probabilities that were cut; the diagnosis knows rounded ones.
void note_truncation(Check& check) {
  if (check.judgement.verdict != Verdict::match
      || check.judgement.level != compare::Level::flash_cut) {
    return;
  }
  const auto* hypothesis = diagnose::find_hypothesis("precision.truncated_probabilities");
  check.diagnosis.notes = {{std::string(hypothesis->id),
                            std::string(hypothesis->title),
                            {},
                            check.judgement.tensors.front().floor_ratio,
                            "out is as a kernel leaves it that cuts probabilities to the dtype",
                            std::string(hypothesis->look_at)}};
}

/// Chooses rows of a problem that has none chosen; returns what to tell about it, or nothing.
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

/// Reads the capture, from wherever it is, in a layout that is given or "".
using Reader = std::function<Result<tensor::Capture>(const std::string& layout)>;

Result<Check> check_as_read(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const Reader& read, const Options& options) {
  const tensor::Geometry geometry = geometry_of(config);
  auto capture = read(options.layout);
  if (!capture) {
    return capture.error();
  }
  Check check;
  check.options = options;
  check.capture = std::move(*capture);
  check.softmax_scale = options.softmax_scale.value_or(
      options.phase == Phase::prefill ? scale.prefill : scale.decode);
  const bool expanded = has_expanded(check.capture);
  const bool latent = has_latent(check.capture, geometry);
  if (!expanded && !latent) {
    check.judgement = without_inputs(check.capture);
    return check;
  }
  check.form = form_for(options.phase, expanded, latent);
  auto problem = reference::make_problem(check.capture, check.form, check.softmax_scale,
                                         geometry.qk_rope_head_dim);
  if (!problem) {
    return problem.error();
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
  const std::string sampling_note = choose_rows(*problem, options.row_choice);
  check.heads = problem->chosen_heads();
  check.rows = problem->chosen_rows();
  diagnose::Expectation expectation = expectation_of(config, scale, check.softmax_scale);
  expectation.decode = options.phase == Phase::decode;
  compare::JudgeOptions judge_options;
  judge_options.rivals = rivals_of(expectation);
  judge_options.progress = options.progress;
  auto judgement = judge_with_temperature(*problem, check.capture, judge_options);
  if (!judgement) {
    return judgement.error();
  }
  check.judgement = std::move(*judgement);
  try_other_lse(*problem, check.capture, judge_options, check.judgement);
  test_padding(check);
  if (!sampling_note.empty()) {
    check.judgement.notes.push_back(sampling_note);
  }
  add_doubts(check);
  add_notes(check, geometry);
  if (options.diagnose) {
    diagnose::Options diagnose_options;
    if (check.judgement.verdict != Verdict::mismatch) {
      // There is no bug to name: only notes and what the capture cannot tell.
      diagnose_options.heads = k_few_heads;
      diagnose_options.logits = k_few_logits;
    }
    diagnose_options.suspects = suspects_of(check.judgement);
    diagnose_options.scale_bias = check.judgement.scale_bias;
    auto diagnosis = diagnose::diagnose(*problem, check.capture, expectation, diagnose_options);
    if (!diagnosis) {
      return diagnosis.error();
    }
    check.diagnosis = std::move(*diagnosis);
    note_truncation(check);
    if (check.judgement.verdict != Verdict::mismatch) {
      check.diagnosis.findings.clear();
    } else if (check.diagnosis.findings.empty() && check.diagnosis.unexplained.empty()) {
      explain_small_error(expectation, check);
    }
  }
  if (const auto unchanged = tensor::check_unchanged(check.capture); !unchanged) {
    return unchanged.error();
  }
  return check;
}

/// How wrong a check's out is.
double error_of(const Check& check) {
  return check.judgement.tensors.empty() ? std::numeric_limits<double>::infinity()
                                         : check.judgement.tensors.front().sums.relative_rms();
}

/// Shapes such as [B, 4, 8, D] can hold tokens before heads and heads before tokens. Where one
/// reading does not match, or neither is likelier, the values say which was meant: a wrong one
/// cannot match. An answer that both readings give needs no choice.
Result<Check> settle_layout(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const Reader& read, const Options& options, Result<Check> first) {
  std::vector<Check> others;
  for (const char* layout : {"thd", "htd"}) {
    const auto capture = read(layout);
    if (!capture
        || (first && capture->layout == first->capture.layout
            && capture->heads == first->capture.heads)) {
      continue;
    }
    Options one = options;
    one.layout = layout;
    auto other = check_as_read(config, scale, read, one);
    if (!other) {
      return first;
    }
    if (other->judgement.verdict == Verdict::match) {
      other->options.layout.clear();
      other->judgement.notes.push_back(
          fmt::format("the shapes can be read in two ways, and match only as {} with {} heads",
                      other->capture.layout, other->capture.heads));
      return other;
    }
    others.push_back(std::move(*other));
  }
  const bool both = !first && others.size() == 2
                    && std::all_of(others.begin(), others.end(), [](const Check& other) {
                         return other.judgement.verdict == Verdict::mismatch;
                       });
  if (!both) {
    return first;
  }
  Check& nearer = error_of(others[1]) < error_of(others[0]) ? others[1] : others[0];
  nearer.judgement.notes.push_back(
      fmt::format("the shapes can be read in two ways and mismatch in both; shown as {} with {} "
                  "heads, --layout settles it",
                  nearer.capture.layout, nearer.capture.heads));
  return std::move(nearer);
}

Result<Check> check_read(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                         const Reader& read, const Options& options) {
  if (const auto mla = require_mla(config); !mla) {
    return mla.error();
  }
  auto first = check_as_read(config, scale, read, options);
  const bool settled = first ? first->judgement.verdict != Verdict::mismatch
                             : first.error().kind != ErrorKind::schema;
  if (settled || !options.layout.empty()) {
    return first;
  }
  return settle_layout(config, scale, read, options, std::move(first));
}

} // namespace

std::string_view to_string(Phase phase) {
  return phase == Phase::prefill ? "prefill" : "decode";
}

Result<Check> check_capture(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const std::vector<std::filesystem::path>& files,
                            const Options& options) {
  const Reader read = [&](const std::string& layout) {
    return tensor::read_capture(files, geometry_of(config), {layout});
  };
  return check_read(config, scale, read, options);
}

Result<Check> check_tensors(const model::MlaConfig& config, const scale::SoftmaxScale& scale,
                            const std::vector<std::shared_ptr<const tensor::Tensor>>& tensors,
                            const Options& options) {
  const Reader read = [&](const std::string& layout) {
    return tensor::capture_of(tensors, geometry_of(config), {layout});
  };
  return check_read(config, scale, read, options);
}

} // namespace mla_scale::check
