#include <mla_scale/diagnose/candidate.hpp>
#include <mla_scale/reference/key_tiles.hpp>

#include <Eigen/Core>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

// Values of the wrong head, and kv_b_proj split in the wrong order.

namespace mla_scale::diagnose {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Rows of the probe with few keys first: cheap, and their values differ most between heads.
std::vector<std::size_t> short_rows(const Context& context, std::size_t per_head) {
  std::map<std::int64_t, std::vector<std::size_t>> by_head;
  for (const auto index : context.rows) {
    if (context.sample.rows[index].has_out && context.sample.rows[index].visible > 0) {
      by_head[context.sample.rows[index].head].push_back(index);
    }
  }
  std::vector<std::size_t> result;
  for (auto& [head, rows] : by_head) {
    std::stable_sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) {
      return context.sample.rows[a].visible < context.sample.rows[b].visible;
    });
    rows.resize(std::min(rows.size(), per_head));
    result.insert(result.end(), rows.begin(), rows.end());
  }
  return result;
}

double misfit(const Context& context, std::size_t index, const std::vector<double>& out) {
  const auto got = context.sample.out_of(index);
  const double noise = context.predictor.noise().out;
  double sum = 0.0;
  double square = 0.0;
  for (std::size_t column = 0; column < got.size(); ++column) {
    sum += (got[column] - out[column]) * (got[column] - out[column]);
    square += got[column] * got[column];
  }
  return std::log1p(sum / (noise * noise * std::max(square, 1e-300)));
}

/// Softmax of the row as it should be, over its first `keys` keys; it sees no others.
std::vector<double> probabilities(const Context& context, const Row& row, std::size_t keys) {
  std::vector<double> weights;
  context.predictor.logits(context.reference, row, weights);
  weights.resize(std::min(weights.size(), keys));
  const double total = log_sum_exp(weights);
  for (double& weight : weights) {
    weight = std::exp(weight - total);
  }
  return weights;
}

std::string mapping_text(const std::map<std::int64_t, std::int64_t>& source) {
  std::string text;
  for (const auto& [head, from] : source) {
    text += fmt::format("{}{}<-{}", text.empty() ? "" : " ", head, from);
  }
  return text;
}

/// How far the rows of a head are from what another head would give: [head][source].
using HeadMisfits = std::map<std::int64_t, std::map<std::int64_t, double>>;

/// Adds source heads [first, last). \return false when they cannot be read
bool add_misfits(const Context& context, bool whole, const std::vector<std::size_t>& rows,
                 std::int64_t first, std::int64_t last, HeadMisfits& misfits) {
  std::vector<HeadRow> pairs;
  for (std::int64_t source = first; source < last; ++source) {
    for (const auto index : rows) {
      pairs.emplace_back(source, context.sample.rows[index].row);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  const auto others = make_sample(context.problem, context.capture, pairs, {false, true});
  if (!others) {
    return false;
  }
  const Predictor predictor(*others, context.predictor.noise());
  std::map<HeadRow, std::size_t> at;
  for (std::size_t other = 0; other < others->rows.size(); ++other) {
    at[{others->rows[other].head, others->rows[other].row}] = other;
  }
  for (const auto index : rows) {
    const Row& row = context.sample.rows[index];
    for (std::int64_t source = first; source < last; ++source) {
      const auto found = at.find({source, row.row});
      if (found == at.end()) {
        continue;
      }
      const Row& other = others->rows[found->second];
      std::vector<double> out;
      if (whole) {
        out = predictor.predict(context.reference, other).out;
      } else {
        const auto weights = probabilities(context, row, other.keys);
        predictor.average(context.reference, other, weights.size(), 1, weights, out);
      }
      if (!out.empty()) {
        misfits[row.head][source] += misfit(context, index, out);
      }
    }
  }
  return true;
}

/// Best source head for each sampled head; `whole` takes the probabilities of that head as well.
void propose_permutation(const Context& context, bool whole, std::vector<Candidate>& candidates) {
  const auto rows = short_rows(context, 4);
  const auto heads = context.capture.heads;
  std::size_t longest = 1;
  for (const auto index : rows) {
    longest = std::max(longest, context.sample.rows[index].visible);
  }
  if (static_cast<std::int64_t>(longest) * heads > k_most_keys_of_heads) {
    return; // not_identifiable() says so
  }
  HeadMisfits misfits;
  constexpr std::size_t k_most_values = std::size_t{16} << 20; // 128 MiB
  const auto at_once = static_cast<std::int64_t>(
      std::max(k_most_values / (longest * context.sample.width), std::size_t{1}));
  for (std::int64_t first = 0; first < heads; first += at_once) {
    if (!add_misfits(context, whole, rows, first, std::min(first + at_once, heads), misfits)) {
      return;
    }
  }
  std::map<std::int64_t, std::int64_t> sources;
  bool identity = true;
  for (const auto& [head, by_source] : misfits) {
    const auto best =
        std::min_element(by_source.begin(), by_source.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    sources[head] = best->first;
    identity = identity && best->first == head;
  }
  double total_misfit = 0.0;
  for (const auto& [head, source] : sources) {
    total_misfit += misfits[head][source];
  }
  // On average ten times the rounding of out, or more: no permutation.
  if (identity || total_misfit > std::log1p(100.0) * static_cast<double>(rows.size())) {
    return;
  }
  // The whole sample with the heads found.
  std::vector<HeadRow> source_pairs;
  for (const Row& row : context.sample.rows) {
    const auto source = sources.contains(row.head) ? sources[row.head] : row.head;
    source_pairs.emplace_back(source, row.row);
  }
  auto unique = source_pairs;
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  auto from = make_sample(context.problem, context.capture, unique, {false, true});
  if (!from) {
    return;
  }
  auto shared = std::make_shared<Sample>(std::move(*from));
  auto index_of = std::make_shared<std::map<HeadRow, std::size_t>>();
  for (std::size_t other = 0; other < shared->rows.size(); ++other) {
    (*index_of)[{shared->rows[other].head, shared->rows[other].row}] = other;
  }
  Candidate candidate;
  candidate.direct = [&context, shared, index_of, sources, whole](const Row& row) {
    const auto source = sources.contains(row.head) ? sources.at(row.head) : row.head;
    const Row& other = shared->rows[index_of->at({source, row.row})];
    const Predictor other_predictor(*shared, context.predictor.noise());
    auto prediction = whole ? other_predictor.predict(context.reference, other)
                            : context.predictor.predict(context.reference, row);
    if (!whole) {
      const auto weights = probabilities(context, row, other.keys);
      other_predictor.average(context.reference, other, weights.size(), 1, weights, prediction.out);
    }
    return prediction;
  };
  const auto text = mapping_text(sources);
  candidate.parts.push_back(
      {"value.head_permuted",
       {{"heads", text}, {"of", std::string(whole ? "out" : "values")}},
       fmt::format("{} of other heads, head<-source: {}", whole ? "out" : "values", text)});
  candidate.cost = 2.0 + k_cost_of_scan + (whole ? 0.0 : 1.0);
  candidate.lse.push_back({"lse is the right one", [&context](const Row& row) {
                             std::vector<double> logits;
                             context.predictor.logits(context.reference, row, logits);
                             return log_sum_exp(logits);
                           }});
  candidates.push_back(std::move(candidate));
}

/// k_nope and v of all keys of a slot after another split of kv_b_proj's output.
struct Split {
  Matrix nope;
  std::vector<double> values;
};

enum class SplitKind { value_first, heads_apart };

/// Output of kv_b_proj of one head, [keys, nope + v].
Matrix expanded(const reference::Problem& problem, std::int64_t head,
                const tensor::Sequence& sequence) {
  reference::KeyTiles<double> tiles(problem, head);
  const auto count = sequence.key_end - sequence.key_begin;
  const auto nope = problem.nope_width();
  Matrix keys(count, tiles.key_width());
  Matrix values(count, tiles.value_width());
  tiles.load(sequence.key_begin, count, keys.data(), values.data());
  Matrix both(count, nope + values.cols());
  both << keys.leftCols(nope), values;
  return both;
}

Split split(const Context& context, std::int64_t head, std::size_t sequence, SplitKind kind) {
  const auto& problem = context.problem;
  const auto nope = problem.nope_width();
  const auto width = problem.v_width();
  Split result;
  Matrix values;
  if (kind == SplitKind::value_first) {
    const auto both = expanded(problem, head, problem.sequences[sequence]);
    values = both.leftCols(width);
    result.nope = both.rightCols(nope);
  } else {
    // All heads' outputs in a row, read as [heads · nope | heads · v].
    const auto total = nope + width;
    const auto gather = [&](std::int64_t first, std::int64_t count) {
      Matrix gathered;
      for (std::int64_t done = 0; done < count;) {
        const auto source = (first + done) / total;
        const auto offset = (first + done) % total;
        const auto now = std::min(count - done, total - offset);
        const auto both = expanded(problem, source, problem.sequences[sequence]);
        if (gathered.size() == 0) {
          gathered.resize(both.rows(), count);
        }
        gathered.middleCols(done, now) = both.middleCols(offset, now);
        done += now;
      }
      return gathered;
    };
    result.nope = gather(head * nope, nope);
    values = gather(context.capture.heads * nope + head * width, width);
  }
  result.values.assign(values.data(), values.data() + values.size());
  return result;
}

void propose_split(const Context& context, SplitKind kind, std::vector<Candidate>& candidates) {
  const auto& sample = context.sample;
  auto logits = std::make_shared<LogitSet>(*sample.logits);
  auto values = std::make_shared<ValueSet>(*sample.values);
  const auto nope = context.problem.nope_width();
  std::vector<double> query(static_cast<std::size_t>(nope));
  for (std::size_t slot = 0; slot < sample.slots.size(); ++slot) {
    const auto [head, sequence] = sample.slots[slot];
    auto other = split(context, head, sequence, kind);
    values->squared[slot].assign(static_cast<std::size_t>(other.nope.rows()), 0.0);
    for (std::size_t key = 0; key < values->squared[slot].size(); ++key) {
      for (std::size_t column = 0; column < sample.width; ++column) {
        const double value = other.values[key * sample.width + column];
        values->squared[slot][key] += value * value;
      }
    }
    for (const auto& row : sample.rows) {
      if (row.slot == slot) {
        context.problem.q.read(row.row, row.head, 0, nope, query.data());
        const Eigen::Map<const Eigen::VectorXd> q(query.data(), nope);
        Eigen::Map<Eigen::VectorXd>(logits->nope.data() + row.offset, other.nope.rows()) =
            other.nope * q;
      }
    }
    values->values[slot] = std::move(other.values);
  }
  const bool apart = kind == SplitKind::heads_apart;
  const std::string how = apart ? "[heads · nope | heads · v]" : "[v | nope] of each head";
  const auto add = [&](bool keys, bool vals, const std::string& side) {
    Candidate candidate;
    candidate.mechanism = context.reference;
    if (keys) {
      candidate.mechanism.logits = logits;
    }
    if (vals) {
      candidate.mechanism.values = values;
    }
    candidate.cost = keys && vals ? 1.0 : 1.5;
    candidate.parts.push_back({"value.split_swapped",
                               {{"split", how}, {"side", side}},
                               fmt::format("{} from kv_b_proj's output split as {}", side, how)});
    candidates.push_back(std::move(candidate));
  };
  add(true, true, "keys and values");
  add(false, true, "values");
  add(true, false, "keys");
}

} // namespace

void propose_values(const Context& context, std::vector<Candidate>& candidates) {
  if (!context.sample.any_out) {
    return;
  }
  propose_permutation(context, false, candidates);
  propose_permutation(context, true, candidates);
  const bool has_nope = context.problem.form != reference::Form::absorbed;
  if (has_nope && !(context.problem.v && context.problem.v->heads != context.capture.heads)) {
    propose_split(context, SplitKind::value_first, candidates);
    const auto& widths = context.problem;
    if (context.capture.heads > 1 && context.capture.heads <= 16 && widths.nope_width() > 0) {
      propose_split(context, SplitKind::heads_apart, candidates);
    }
  }
}

} // namespace mla_scale::diagnose
