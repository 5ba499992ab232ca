#include "clip/model_config.h"

#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "core/json.h"

namespace clip_es {
namespace {

constexpr const char* kFileName = "clip-es.json";

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::kModelFormat, message); }

std::string to_text(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", number);
  return text;
}

int64_t read_head_count(const Json& value, const std::string& name) {
  const double count = json_number(value, name);
  if (count < 1 || count > 1024 || count != std::floor(count))
    fail(name + " is " + to_text(count) + ", expected a whole number from 1 to 1024");
  return static_cast<int64_t>(count);
}

std::array<float, 3> read_channels(const Json& value, const std::string& name) {
  const Json::array_t& items = json_array(value, name);
  if (items.size() != 3) fail(name + " has " + std::to_string(items.size()) + " numbers, expected 3 (red, green, blue)");
  std::array<float, 3> channels;
  for (size_t i = 0; i < 3; ++i) {
    channels[i] = static_cast<float>(json_number(items[i], name));
    if (!std::isfinite(channels[i]))
      fail(name + " contains " + to_text(json_number(items[i], name)) + ", expected numbers in the range of float32");
  }
  return channels;
}

// The pixels are divided by these, so they must be positive.
std::array<float, 3> read_deviations(const Json& value) {
  const std::array<float, 3> channels = read_channels(value, "std");
  for (size_t i = 0; i < 3; ++i)
    if (channels[i] <= 0) fail("std contains " + to_text(channels[i]) + ", expected numbers above 0");
  return channels;
}

Activation read_activation(const Json& value) {
  const std::string& name = json_string(value, "activation");
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "gelu") return Activation::kGelu;
  fail("activation is \"" + name + "\", expected \"quick_gelu\" or \"gelu\"");
}

void read_heads(const Json& value, ModelConfig& config) {
  for (const auto& [tower, count] : json_object(value, "heads")) {
    if (tower == "image") config.image_heads = read_head_count(count, "heads.image");
    else if (tower == "text") config.text_heads = read_head_count(count, "heads.text");
    else fail("key heads." + tower + " is not known, expected heads.image or heads.text");
  }
}

ModelConfig parse(const std::string& text) {
  ModelConfig config;
  const Json document = parse_json(text);
  for (const auto& [key, value] : json_object(document, "the document")) {
    if (key == "activation") config.activation = read_activation(value);
    else if (key == "heads") read_heads(value, config);
    else if (key == "mean") config.mean = read_channels(value, "mean");
    else if (key == "std") config.std = read_deviations(value);
    else fail("key " + key + " is not known, expected activation, heads, mean or std");
  }
  return config;
}

}  // namespace

ModelConfig read_model_config(const Archive& archive) {
  const auto text = archive.extra_file(kFileName);
  if (!text) return {};
  try {
    return parse(*text);
  } catch (const Error& e) {
    throw Error(ErrorCode::kModelFormat, archive.path() + ": " + kFileName + ": " + e.what());
  }
}

}  // namespace clip_es
