#include "support/json_schema.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

using mla_scale::json::Kind;
using mla_scale::json::Value;

namespace {

class Validator {
public:
  explicit Validator(Value root) : m_root(root) {}

  void check(const Value& schema, const Value& value) {
    check_keywords(schema);
    if (const auto reference = schema.find("$ref")) {
      const std::string name(
          reference->as_string().value().substr(std::string_view("#/$defs/").size()));
      check(*m_root.find("$defs")->find(name), value);
      return;
    }
    check_type(schema, value);
    check_choices(schema, value);
    check_members(schema, value);
    check_elements(schema, value);
    check_format(schema, value);
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

  void check_keywords(const Value& schema) {
    constexpr std::string_view k_known[] = {"$schema",  "$id",
                                            "$defs",    "$ref",
                                            "title",    "description",
                                            "type",     "const",
                                            "enum",     "anyOf",
                                            "required", "properties",
                                            "items",    "additionalProperties",
                                            "minItems", "minimum",
                                            "format"};
    for (auto keyword = schema.first(); keyword; keyword = keyword->next()) {
      if (std::find(std::begin(k_known), std::end(k_known), keyword->key()) == std::end(k_known)) {
        fail(*keyword, "is a keyword that this validator does not know");
      }
    }
  }

  void check_elements(const Value& schema, const Value& value) {
    if (!value.is_array()) {
      return;
    }
    if (const auto least = schema.find("minItems");
        least && static_cast<std::int64_t>(value.size()) < least->as_integer().value()) {
      fail(value, "has too few elements");
    }
    if (const auto items = schema.find("items")) {
      for (auto element = value.first(); element; element = element->next()) {
        check(*items, *element);
      }
    }
  }

  /// RFC 3986: the characters that a URI may have, percent signs only before two hexadecimal
  /// digits; and the scheme that a URI has and a reference need not have.
  void check_format(const Value& schema, const Value& value) {
    const auto format = schema.find("format");
    if (!format || !value.is_string()) {
      return;
    }
    constexpr std::string_view k_hex = "0123456789abcdefABCDEF";
    constexpr std::string_view k_other = "-._~:/?#[]@!$&'()*+,;=%";
    const std::string_view text = value.as_string().value();
    bool valid = format->as_string().value() == "uri-reference"
                 || text.find("://") != std::string_view::npos;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z')
                          || (text[i] >= '0' && text[i] <= '9');
      valid = valid && (letter || k_other.find(text[i]) != std::string_view::npos);
      if (text[i] == '%') {
        const std::string_view digits = text.substr(i + 1, 2);
        valid = valid && digits.size() == 2
                && digits.find_first_not_of(k_hex) == std::string_view::npos;
      }
    }
    if (!valid) {
      fail(value, "is no " + std::string(format->as_string().value()) + ": " + value.excerpt());
    }
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
