#include <mla_scale/diagnose/candidate.hpp>

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

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

/// The few rows of the sample that are compared: what they should hold is read from as many rows
/// outside the sample as the layout scatters each of them over.
std::set<HeadRow> few_rows(const Context& context) {
  const std::size_t most = rows_with_values(context.sample, 16);
  std::set<HeadRow> few;
  for (std::size_t at = 0; at < context.probe.size() && few.size() < most;
       at += 1 + context.probe.size() / most) {
    const Row& row = context.sample.rows[context.probe[at]];
    few.insert({row.head, row.row});
  }
  return few;
}

/// The rows that the elements of `rows` were written as, mostly rows outside the sample.
std::set<HeadRow> written_as(const std::set<HeadRow>& rows, const Reader& reader,
                             std::int64_t width) {
  std::set<HeadRow> written;
  for (const auto& [head, row] : rows) {
    for (std::int64_t column = 0; column < width; ++column) {
      const auto source = reader(row, head, column);
      if (source.column < width) {
        written.insert({source.head, source.row});
      }
    }
  }
  return written;
}

using Predictions = std::map<HeadRow, Prediction>;

/// What the reference expects of rows outside the sample; null where they take too much memory.
std::shared_ptr<const Predictions> predict_rows(const Context& context,
                                                const std::set<HeadRow>& rows) {
  const auto sample =
      make_sample(context.problem, context.capture, {rows.begin(), rows.end()}, {false, true});
  if (!sample) {
    return nullptr;
  }
  const Predictor predictor(*sample, context.predictor.noise());
  const auto predictions = std::make_shared<Predictions>();
  for (const auto& row : sample->rows) {
    (*predictions)[{row.head, row.row}] = predictor.predict(context.reference, row);
  }
  return predictions;
}

/// `prediction`, with the numbers that were written where the row is read. Their rounding comes
/// along: that of the rows they were written as.
Prediction read_back(Prediction prediction, const Row& row, const Reader& reader,
                     const Predictions& written) {
  const auto width = static_cast<std::int64_t>(prediction.out.size());
  const Prediction own = prediction;
  prediction.fine = 0.0;
  prediction.coarse = 0.0;
  for (std::int64_t column = 0; column < width; ++column) {
    const auto source = reader(row.row, row.head, column);
    double value = 0.0;
    const Prediction* from = &own;
    const auto found = written.find({source.head, source.row});
    if (source.column < width && found != written.end() && found->second.defined) {
      from = &found->second;
      value = from->out[static_cast<std::size_t>(source.column)];
    }
    prediction.out[static_cast<std::size_t>(column)] = value;
    prediction.fine += from->fine / static_cast<double>(width);
    prediction.coarse += from->coarse / static_cast<double>(width);
  }
  return prediction;
}

} // namespace

void propose_output(const Context& context, std::vector<Candidate>& candidates) {
  if (!context.sample.any_out) {
    return;
  }
  const auto known = few_rows(context);
  for (const auto& layout : layouts(context)) {
    if (context.capture.heads == 1 && layout.parameters.front().name == "written") {
      continue;
    }
    const auto needed = written_as(known, layout.reader, context.problem.v_width());
    if (needed.empty()) {
      continue; // Rows of padding alone are zeros: so are rows that nobody wrote.
    }
    const auto written = predict_rows(context, needed);
    if (!written) {
      continue;
    }
    Candidate candidate;
    candidate.direct = [&context, known, written, reader = layout.reader](const Row& row) {
      auto prediction = context.predictor.predict(context.reference, row);
      if (known.contains({row.head, row.row})) {
        return read_back(std::move(prediction), row, reader, *written);
      }
      prediction.defined = false; // Only the few rows are predicted.
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
