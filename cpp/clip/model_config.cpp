#include "clip/model_config.h"

#include <cmath>

#include "core/error.h"
#include "core/json.h"

namespace clip_es {
namespace {

constexpr const char* kName = "clip-es.json";

int64_t head_count(const Json& value, const std::string& what) {
  const double count = value.number(what);
  if (count < 1 || count > 1024 || count != std::floor(count))
    throw Error(ErrorCode::kModelFormat, what + " is " + std::to_string(count) + ", expected a whole number from 1 to 1024");
  return static_cast<int64_t>(count);
}

std::array<float, 3> channels(const Json& value, const std::string& what, bool positive) {
  const Json::Array& items = value.array(what);
  if (items.size() != 3)
    throw Error(ErrorCode::kModelFormat, what + " has " + std::to_string(items.size()) + " numbers, expected 3 (red, green, blue)");
  std::array<float, 3> out;
  for (size_t i = 0; i < 3; ++i) {
    out[i] = static_cast<float>(items[i].number(what));
    if (!std::isfinite(out[i]) || (positive && out[i] <= 0))
      throw Error(ErrorCode::kModelFormat, what + " holds " + std::to_string(out[i]) + ", which cannot normalise pixels");
  }
  return out;
}

Activation activation(const Json& value) {
  const std::string& name = value.text("activation");
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "gelu") return Activation::kGelu;
  throw Error(ErrorCode::kModelFormat, "activation is \"" + name + "\", expected \"quick_gelu\" or \"gelu\"");
}

ModelConfig parse(const std::string& text) {
  ModelConfig config;
  const Json json = Json::parse(text);
  for (const auto& [key, value] : json.object("the document")) {
    if (key == "activation") config.activation = activation(value);
    else if (key == "mean") config.mean = channels(value, "mean", false);
    else if (key == "std") config.std = channels(value, "std", true);
    else if (key == "heads") {
      for (const auto& [tower, count] : value.object("heads")) {
        if (tower == "image") config.image_heads = head_count(count, "heads.image");
        else if (tower == "text") config.text_heads = head_count(count, "heads.text");
        else throw Error(ErrorCode::kModelFormat, "unknown key heads." + tower + "; known: image, text");
      }
    } else {
      throw Error(ErrorCode::kModelFormat, "unknown key " + key + "; known: activation, heads, mean, std");
    }
  }
  return config;
}

}  // namespace

ModelConfig read_model_config(const Archive& archive) {
  const auto text = archive.extra_file(kName);
  if (!text) return {};
  try {
    return parse(*text);
  } catch (const Error& e) {
    throw Error(ErrorCode::kModelFormat, archive.path() + ": " + kName + ": " + e.what());
  }
}

}  // namespace clip_es
