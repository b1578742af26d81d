#pragma once

#include "support/catch.hpp"

#include <mla_scale/json/document.hpp>

#include <string>
#include <utility>

inline mla_scale::json::Document parse_json(const std::string& text) {
  auto document = mla_scale::json::Document::parse(text, "json");
  REQUIRE(document);
  return *std::move(document);
}
