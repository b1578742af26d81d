#pragma once

#include <mla_scale/json/writer.hpp>
#include <mla_scale/model/load.hpp>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace mla_scale::audit {

/// A JSON scalar.
using Scalar = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

/// "40", "null", "yarn": for people.
[[nodiscard]] std::string to_string(const Scalar& scalar);
/// As the JSON value that it is.
void write_scalar(json::Writer& writer, const Scalar& scalar);
/// Numbers are equal by value (40 and 40.0), everything else by type and value.
[[nodiscard]] bool same(const Scalar& left, const Scalar& right);

struct Field {
  std::string name;
  Scalar value;
  Position position = {}; ///< of the key in the config; unknown where no single key says it
};

/// What a snapshot keeps of one model: derived fields first (attention, dims.*, rope.*,
/// softmax_scale.*, engines.*), then every scalar of the config under its JSON pointer. Arrays are
/// one field: their elements joined by commas, or a count and a hash when that is long.
using Record = std::vector<Field>;

[[nodiscard]] Record make_record(const model::LoadedModel& loaded);

} // namespace mla_scale::audit
