#include "support/json_schema.hpp"

#include <algorithm>

using mla_scale::json::Kind;
using mla_scale::json::Value;

namespace {

class Validator {
public:
  explicit Validator(Value root) : m_root(root) {}

  void check(const Value& schema, const Value& value) {
    if (const auto reference = schema.find("$ref")) {
      const std::string name(
          reference->as_string().value().substr(std::string_view("#/$defs/").size()));
      check(*m_root.find("$defs")->find(name), value);
      return;
    }
    check_type(schema, value);
    check_choices(schema, value);
    check_members(schema, value);
    if (const auto items = schema.find("items"); items && value.is_array()) {
      for (auto element = value.first(); element; element = element->next()) {
        check(*items, *element);
      }
    }
    if (const auto minimum = schema.find("minimum");
        minimum && value.is_number() && value.as_number().value() < minimum->as_number().value()) {
      fail(value, "is below its minimum");
    }
  }

  std::vector<std::string> violations;

private:
  void fail(const Value& value, const std::string& what) {
    violations.push_back(value.pointer() + " " + what);
  }

  static bool is_type(const Value& value, std::string_view type) {
    switch (value.kind()) {
    case Kind::null:
      return type == "null";
    case Kind::boolean:
      return type == "boolean";
    case Kind::integer:
      return type == "integer" || type == "number";
    case Kind::number:
      return type == "number";
    case Kind::string:
      return type == "string";
    case Kind::array:
      return type == "array";
    case Kind::object:
      return type == "object";
    }
    return false;
  }

  void check_type(const Value& schema, const Value& value) {
    const auto type = schema.find("type");
    if (!type) {
      return;
    }
    bool matches = type->is_string() && is_type(value, type->as_string().value());
    for (auto one = type->first(); one; one = one->next()) {
      matches = matches || is_type(value, one->as_string().value());
    }
    if (!matches) {
      fail(value, "has the wrong type: " + value.excerpt());
    }
  }

  void check_choices(const Value& schema, const Value& value) {
    if (const auto constant = schema.find("const");
        constant && constant->excerpt(200) != value.excerpt(200)) {
      fail(value, "is not " + constant->excerpt());
    }
    if (const auto choices = schema.find("enum")) {
      bool found = false;
      for (auto one = choices->first(); one; one = one->next()) {
        found = found || one->excerpt(200) == value.excerpt(200);
      }
      if (!found) {
        fail(value, "is not one of the allowed values: " + value.excerpt());
      }
    }
    if (const auto any = schema.find("anyOf")) {
      bool found = false;
      for (auto one = any->first(); one; one = one->next()) {
        Validator attempt(m_root);
        attempt.check(*one, value);
        found = found || attempt.violations.empty();
      }
      if (!found) {
        fail(value, "fits none of anyOf");
      }
    }
  }

  void check_members(const Value& schema, const Value& value) {
    if (!value.is_object()) {
      return;
    }
    if (const auto required = schema.find("required")) {
      for (auto name = required->first(); name; name = name->next()) {
        if (!value.find(name->as_string().value())) {
          fail(value, "lacks " + std::string(name->as_string().value()));
        }
      }
    }
    const auto properties = schema.find("properties");
    const auto additional = schema.find("additionalProperties");
    for (auto member = value.first(); member; member = member->next()) {
      const auto property = properties ? properties->find(member->key()) : std::nullopt;
      if (property) {
        check(*property, *member);
      } else if (additional && additional->is_object()) {
        check(*additional, *member);
      } else if (additional) {
        fail(*member, "is not in the schema");
      }
    }
  }

  Value m_root;
};

} // namespace

std::vector<std::string> schema_violations(const Value& schema, const Value& value) {
  Validator validator(schema);
  validator.check(schema, value);
  return validator.violations;
}
