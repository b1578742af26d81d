#pragma once

#include <mla_scale/json/document.hpp>

#include <string>
#include <vector>

/// What is wrong with `value` by `schema`: one line each, empty when it is valid.
///
/// Knows the keywords that our schema uses: type, const, enum, required, properties,
/// additionalProperties (a schema or false), items, anyOf, minimum, $ref into #/$defs.
std::vector<std::string> schema_violations(const mla_scale::json::Value& schema,
                                           const mla_scale::json::Value& value);
