#include <mla_scale/diagnose/candidate.hpp>

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <set>

// Right numbers in the wrong places: an output buffer read with strides that it does not have.

namespace mla_scale::diagnose {

namespace {

/// Where the element [row, head, column] that a reader sees was written.
struct Source {
  std::int64_t row;
  std::int64_t head;
  std::int64_t column; ///< v_head_dim or more: padding
};

using Reader = std::function<Source(std::int64_t row, std::int64_t head, std::int64_t column)>;

struct Layout {
  std::string text;
  std::vector<Parameter> parameters;
  Reader reader;
};

std::vector<Layout> layouts(const Context& context) {
  const auto width = context.problem.v_width();
  const auto heads = context.capture.heads;
  const auto rows = context.capture.query_rows;
  const auto& dims = context.expectation.geometry;
  const auto power =
      static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(dims.qk_head_dim())));
  std::vector<Layout> result;
  std::set<std::int64_t> seen;
  for (const auto wide :
       {dims.qk_head_dim(), power, width + 64, dims.kv_lora_rank, std::int64_t{128},
        std::int64_t{256}, dims.kv_lora_rank + dims.qk_rope_head_dim}) {
    if (wide > width && seen.insert(wide).second) {
      result.push_back({fmt::format("written with rows of {}, read with rows of {}", wide, width),
                        {{"written_width", wide}, {"read_width", width}},
                        [=](std::int64_t row, std::int64_t head, std::int64_t column) {
                          const auto flat = (row * heads + head) * width + column;
                          return Source{flat / wide / heads, flat / wide % heads, flat % wide};
                        }});
      if (heads > 1) {
        result.push_back(
            {fmt::format("of each token written with heads {} apart, read with heads {} apart",
                         wide, width),
             {{"written_width", wide}, {"read_width", width}, {"within", std::string("token")}},
             [=](std::int64_t row, std::int64_t head, std::int64_t column) {
               const auto flat = head * width + column;
               return Source{row, flat / wide, flat % wide};
             }});
      }
    }
  }
  result.push_back({"written as [heads, rows], read as [rows, heads]",
                    {{"written", std::string("[H, T, D]")}, {"read", std::string("[T, H, D]")}},
                    [=](std::int64_t row, std::int64_t head, std::int64_t column) {
                      const auto flat = row * heads + head;
                      return Source{flat % rows, flat / rows, column};
                    }});
  result.push_back({"written as [rows, heads], read as [heads, rows]",
                    {{"written", std::string("[T, H, D]")}, {"read", std::string("[H, T, D]")}},
                    [=](std::int64_t row, std::int64_t head, std::int64_t column) {
                      const auto flat = head * rows + row;
                      return Source{flat / heads, flat % heads, column};
                    }});
  return result;
}

} // namespace

void propose_output(const Context& context, std::vector<Candidate>& candidates) {
  if (!context.sample.any_out) {
    return;
  }
  // A few rows tell; what they should hold comes from rows outside the sample.
  const std::size_t most = rows_with_values(context.sample, 16);
  std::vector<std::size_t> few;
  for (std::size_t at = 0; at < context.probe.size() && few.size() < most;
       at += 1 + context.probe.size() / most) {
    few.push_back(context.probe[at]);
  }
  const auto width = context.problem.v_width();
  for (const auto& layout : layouts(context)) {
    std::set<HeadRow> needed;
    for (const auto index : few) {
      const Row& row = context.sample.rows[index];
      for (std::int64_t column = 0; column < width; ++column) {
        const auto source = layout.reader(row.row, row.head, column);
        if (source.column < width) {
          needed.insert({source.head, source.row});
        }
      }
    }
    if (context.capture.heads == 1 && layout.parameters.front().name == "written") {
      continue;
    }
    if (needed.empty()) {
      continue; // Rows of padding alone are zeros: so are rows that nobody wrote.
    }
    auto others = make_sample(context.problem, context.capture, {needed.begin(), needed.end()},
                              {false, true});
    if (!others) {
      continue;
    }
    const auto sample = std::make_shared<Sample>(std::move(*others));
    const Predictor predictor(*sample, context.predictor.noise());
    auto predictions = std::make_shared<std::map<HeadRow, Prediction>>();
    for (const auto& row : sample->rows) {
      (*predictions)[{row.head, row.row}] = predictor.predict(context.reference, row);
    }
    Candidate candidate;
    std::set<std::pair<std::int64_t, std::int64_t>> known;
    for (const auto index : few) {
      known.insert({context.sample.rows[index].head, context.sample.rows[index].row});
    }
    candidate.direct = [&context, predictions, known, width,
                        reader = layout.reader](const Row& row) {
      auto prediction = context.predictor.predict(context.reference, row);
      if (!known.contains({row.head, row.row})) {
        prediction.defined = false; // Only the few rows are predicted.
        return prediction;
      }
      // The rounding comes along with the numbers: that of the rows they were written as.
      double fine = 0.0;
      double coarse = 0.0;
      for (std::int64_t column = 0; column < width; ++column) {
        const auto source = reader(row.row, row.head, column);
        double value = 0.0;
        const Prediction* written = &prediction;
        const auto found = predictions->find({source.head, source.row});
        if (source.column < width && found != predictions->end() && found->second.defined) {
          written = &found->second;
          value = written->out[static_cast<std::size_t>(source.column)];
        }
        prediction.out[static_cast<std::size_t>(column)] = value;
        fine += written->fine / static_cast<double>(width);
        coarse += written->coarse / static_cast<double>(width);
      }
      prediction.fine = fine;
      prediction.coarse = coarse;
      return prediction;
    };
    candidate.few_rows = true;
    candidate.cost = 1.0 + k_cost_of_scan;
    candidate.parts.push_back(
        {"output.stride", layout.parameters,
         fmt::format("out was {}; looked at {} rows", layout.text, known.size())});
    candidates.push_back(std::move(candidate));
  }
}

} // namespace mla_scale::diagnose
