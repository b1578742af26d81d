#include "capture_hypothesis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace mla_scale::tensor {
namespace {

/// A guess about the axes, tested against every shape.
struct Hypothesis {
  bool inputs_heads_first = false;
  bool outputs_heads_first = false;
  std::int64_t heads = 0;
};

struct Contradiction {
  const Tensor* tensor = nullptr;
  std::string message;
};

/// The result of a test: how many checks passed, and the contradiction that ended it, if any.
struct Verdict {
  Agreement agreement;
  int checks = 0;
  int score = 0;
  bool holds = false;
  Contradiction contradiction;
  std::string q_layout;
};

std::string describe(const HeadTensor& tensor) {
  return fmt::format("{} is {}", tensor.tensor->name, shape_text(tensor.tensor->shape));
}

const HeadTensor& first_of(const Shapes& shapes) {
  return shapes.inputs.empty() ? shapes.outputs.front() : shapes.inputs.front();
}

class Test {
public:
  Test(const Shapes& shapes, const Hypothesis& hypothesis)
      : m_shapes(shapes), m_hypothesis(hypothesis) {}

  Verdict run() {
    m_verdict.agreement.heads = m_hypothesis.heads;
    m_verdict.holds =
        choose(m_shapes.inputs, m_hypothesis.inputs_heads_first, m_verdict.agreement.inputs)
        && choose(m_shapes.outputs, m_hypothesis.outputs_heads_first, m_verdict.agreement.outputs)
        && check_batches() && check_rows() && check_weights() && check_lse();
    if (m_verdict.holds) {
      score();
    }
    return std::move(m_verdict);
  }

private:
  bool fail(const Tensor* tensor, std::string message) {
    m_verdict.contradiction = {tensor, std::move(message)};
    return false;
  }

  bool choose(const std::vector<HeadTensor>& tensors, bool heads_first,
              std::vector<Reading>& chosen) {
    for (const HeadTensor& tensor : tensors) {
      const auto found = std::ranges::find_if(tensor.readings, [&](const Reading& reading) {
        return reading.view.heads == m_hypothesis.heads
               && (reading.flat || reading.heads_first == heads_first);
      });
      if (found == tensor.readings.end()) {
        const HeadTensor& first = first_of(m_shapes);
        return fail(tensor.tensor.get(),
                    fmt::format("its shape {} does not hold {} heads{}",
                                shape_text(tensor.tensor->shape), m_hypothesis.heads,
                                &first == &tensor ? "" : ", but " + describe(first)));
      }
      chosen.push_back(*found);
      ++m_verdict.checks;
    }
    return true;
  }

  /// Tensors without a batch axis may still hold all entries one after the other.
  bool check_batches() {
    std::int64_t& batches = m_verdict.agreement.batches;
    const Tensor* from = nullptr;
    const auto check = [&](const HeadTensor& tensor, const Reading& reading) {
      if (reading.batches == 1 || reading.batches == batches) {
        return true;
      }
      if (batches != 1) {
        return fail(tensor.tensor.get(),
                    fmt::format("its shape {} holds {} batch entries, but {} is {}",
                                shape_text(tensor.tensor->shape), reading.batches, from->name,
                                shape_text(from->shape)));
      }
      batches = reading.batches;
      from = tensor.tensor.get();
      return true;
    };
    return for_each(check);
  }

  bool check_rows() {
    std::vector<KnownRows> queries = m_shapes.query_rows;
    std::vector<KnownRows> keys = m_shapes.key_rows;
    const auto check = [&](const HeadTensor& tensor, const Reading& reading) {
      const bool is_key = tensor.canonical == "k" || tensor.canonical == "v";
      std::vector<KnownRows>& known = is_key ? keys : queries;
      for (const KnownRows& other : known) {
        if (other.rows != reading.view.tokens) {
          return fail(tensor.tensor.get(), fmt::format("its shape {} has {} rows, but {}",
                                                       shape_text(tensor.tensor->shape),
                                                       reading.view.tokens, other.description));
        }
      }
      known.push_back({reading.view.tokens, describe(tensor)});
      ++m_verdict.checks;
      return reading.view.tokens % m_verdict.agreement.batches == 0
             || fail(tensor.tensor.get(),
                     fmt::format("its {} rows do not divide by {} batch entries",
                                 reading.view.tokens, m_verdict.agreement.batches));
    };
    if (!for_each(check)) {
      return false;
    }
    m_verdict.agreement.query_rows = queries.empty() ? 0 : queries.front().rows;
    m_verdict.agreement.key_rows = keys.empty() ? 0 : keys.front().rows;
    return true;
  }

  bool check_weights() {
    // kv_b_proj of the whole model beside one rank's heads is judged later.
    const std::int64_t heads = m_shapes.weight_heads;
    if (heads == 0 || heads == m_hypothesis.heads || heads == m_shapes.config_heads) {
      return true;
    }
    const HeadTensor& first = first_of(m_shapes);
    return fail(first.tensor.get(),
                fmt::format("its shape {} holds {} heads, but the kv_b_proj weights hold {}",
                            shape_text(first.tensor->shape), m_hypothesis.heads, heads));
  }

  bool check_lse() {
    if (m_shapes.lse == nullptr || m_verdict.agreement.query_rows == 0) {
      return true;
    }
    const Agreement& agreement = m_verdict.agreement;
    m_lse =
        read_axes_of_lse(m_shapes.lse, agreement.batches, agreement.query_rows, agreement.heads);
    if (m_lse) {
      ++m_verdict.checks;
      return true;
    }
    return fail(
        m_shapes.lse.get(),
        fmt::format("its shape {} is neither [H, T] nor [T, H] of {} heads and {} query rows",
                    shape_text(m_shapes.lse->shape), agreement.heads, agreement.query_rows));
  }

  /// Evidence beyond possibility, strongest first: the weights' heads; the documented order of
  /// three axes; torch's order of lse; outputs ordered like inputs; transformers' outputs, which
  /// are not.
  void score() {
    int& score = m_verdict.score;
    const Agreement& agreement = m_verdict.agreement;
    score += m_shapes.weight_heads == m_hypothesis.heads ? 16 : 0;
    const bool three_axes =
        std::ranges::any_of(agreement.inputs.empty() ? agreement.outputs : agreement.inputs,
                            [](const Reading& reading) { return reading.layout == "[T,H,D]"; });
    score += three_axes ? 8 : 0;
    score += m_lse && m_lse->layout.find("H,T") != std::string::npos ? 4 : 0;
    if (!agreement.inputs.empty() && !agreement.outputs.empty()) {
      score += m_hypothesis.inputs_heads_first == m_hypothesis.outputs_heads_first    ? 2
               : m_hypothesis.inputs_heads_first && !m_hypothesis.outputs_heads_first ? 1
                                                                                      : 0;
    }
  }

  template <typename Check>
  bool for_each(const Check& check) {
    const auto all = [&](const std::vector<HeadTensor>& tensors,
                         const std::vector<Reading>& readings) {
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (!check(tensors[i], readings[i])) {
          return false;
        }
      }
      return true;
    };
    return all(m_shapes.inputs, m_verdict.agreement.inputs)
           && all(m_shapes.outputs, m_verdict.agreement.outputs);
  }

  const Shapes& m_shapes;
  Hypothesis m_hypothesis;
  Verdict m_verdict;
  std::optional<LseReading> m_lse;
};

/// "[T,H,D] [T,H,D] | [T,H,D]" with the head count: equal for hypotheses that read the same.
std::string fingerprint(const Agreement& agreement) {
  std::string text = std::to_string(agreement.heads);
  for (const std::vector<Reading>* readings : {&agreement.inputs, &agreement.outputs}) {
    text += " |";
    for (const Reading& reading : *readings) {
      text += " " + reading.layout;
    }
  }
  return text;
}

std::string wording(const Agreement& agreement) {
  const Reading& first =
      agreement.inputs.empty() ? agreement.outputs.front() : agreement.inputs.front();
  return fmt::format("{} with {} heads", first.layout, agreement.heads);
}

std::set<std::int64_t> head_counts(const Shapes& shapes) {
  std::set<std::int64_t> counts;
  for (const std::vector<HeadTensor>* tensors : {&shapes.inputs, &shapes.outputs}) {
    for (const HeadTensor& tensor : *tensors) {
      for (const Reading& reading : tensor.readings) {
        counts.insert(reading.view.heads);
      }
    }
  }
  return counts;
}

std::vector<Hypothesis> hypotheses(const Shapes& shapes) {
  std::vector<bool> orders = {false, true};
  if (shapes.layout == "thd" || shapes.layout == "bthd") {
    orders = {false};
  } else if (shapes.layout == "htd" || shapes.layout == "bhtd") {
    orders = {true};
  }
  std::vector<Hypothesis> all;
  for (const std::int64_t heads : head_counts(shapes)) {
    for (const bool inputs : orders) {
      for (const bool outputs : {false, true}) {
        all.push_back({inputs, outputs, heads});
      }
    }
  }
  return all;
}

} // namespace

Result<Agreement> agree_on_shapes(const Shapes& shapes) {
  std::vector<Verdict> fitting;
  Verdict nearest;
  std::map<std::string, std::size_t> seen;
  for (const Hypothesis& hypothesis : hypotheses(shapes)) {
    Verdict verdict = Test(shapes, hypothesis).run();
    if (verdict.holds) {
      // Orders that read the same are one: flat tensors have none.
      const auto [known, added] = seen.emplace(fingerprint(verdict.agreement), fitting.size());
      if (added) {
        fitting.push_back(std::move(verdict));
      } else {
        fitting[known->second].score = std::max(fitting[known->second].score, verdict.score);
      }
    } else if (nearest.contradiction.tensor == nullptr || verdict.checks > nearest.checks) {
      nearest = std::move(verdict);
    }
  }
  if (fitting.empty()) {
    const Contradiction& contradiction = nearest.contradiction;
    const Tensor& tensor = *contradiction.tensor;
    return Error{ErrorKind::schema, contradiction.message, tensor.file, tensor.name, {}};
  }
  std::ranges::stable_sort(fitting,
                           [](const Verdict& a, const Verdict& b) { return a.score > b.score; });
  Verdict& best = fitting.front();
  if (fitting.size() > 1) {
    const Verdict& rival = fitting[1];
    const std::string both =
        fmt::format("{} or {}", wording(best.agreement), wording(rival.agreement));
    if (rival.score == best.score) {
      const HeadTensor& first = first_of(shapes);
      return Error{ErrorKind::schema,
                   fmt::format("its shape {} can be {}: say which with --layout bthd or bhtd",
                               shape_text(first.tensor->shape), both),
                   first.tensor->file,
                   first.tensor->name,
                   {}};
    }
    if (wording(best.agreement) != wording(rival.agreement)) {
      best.agreement.notes.push_back(
          fmt::format("the shapes allow {}; read as the first, --layout settles it", both));
    }
  }
  return std::move(best.agreement);
}

} // namespace mla_scale::tensor
