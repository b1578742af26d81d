#pragma once

#include <mla_scale/json/document.hpp>

#include <string>
#include <vector>

/// What is wrong with `value` by `schema`: one line each, empty when it is valid.
///
/// Knows the keywords that our schemas use: type, const, enum, required, properties,
/// additionalProperties (a schema or false), items, minItems, anyOf, minimum, format (uri,
/// uri-reference), $ref into #/$defs. Any other keyword is a violation, lest it be passed over.
std::vector<std::string> schema_violations(const mla_scale::json::Value& schema,
                                           const mla_scale::json::Value& value);
