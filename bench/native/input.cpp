#include "input.h"

#include <cmath>
#include <numeric>
#include <random>

#include "core/error.h"

using namespace clip_es;

namespace {

constexpr int64_t kBackgroundTexts = 25;  // as many as the paper's list for VOC
constexpr int64_t kRandomLabels = 3;      // labels of the photo, without a class set

std::vector<float> unit_rows(int64_t rows, int64_t columns) {
  std::mt19937 generator(1);
  std::normal_distribution<float> draw;
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (float& value : values) value = draw(generator);
  for (auto row = values.begin(); row != values.end(); row += columns) {
    float squares = 0;
    for (auto v = row; v != row + columns; ++v) squares += *v * *v;
    for (auto v = row; v != row + columns; ++v) *v /= std::sqrt(squares);
  }
  return values;
}

ClassSet read_classes(const BenchOptions& o, const Model& model) {
  const ClassSet set = read_class_set(o.classes);
  set.require_model(model);
  const auto present = static_cast<int64_t>(set.names.size());
  if (o.labels > present)
    throw Error(ErrorCode::kInvalidArg, "--labels is " + std::to_string(o.labels) + ", but " + o.classes + " has " +
                                            std::to_string(present) + " classes; pass at most that number");
  std::vector<int64_t> chosen(static_cast<size_t>(o.labels ? o.labels : present));
  std::iota(chosen.begin(), chosen.end(), 0);
  return set.subset(chosen);
}

ClassSet random_classes(int64_t labels, const Model& model) {
  const int64_t embedding = model.shape.embedding;
  ClassSet set{.model = model.fingerprint_text(),
               .names = std::vector<std::string>(labels),
               .background = std::vector<std::string>(kBackgroundTexts),
               .embedding = embedding,
               .rows = unit_rows(labels + kBackgroundTexts, embedding),
               .first_row = std::vector<int64_t>(labels + 1),
               .background_rows = {}};
  std::iota(set.first_row.begin(), set.first_row.end(), 0);
  const auto background = set.rows.begin() + labels * embedding;
  set.background_rows.assign(background, set.rows.end());
  set.rows.erase(background, set.rows.end());
  return set;
}

}  // namespace

std::vector<uint8_t> synthetic_photo(int64_t width, int64_t height) {
  std::mt19937 generator(2);
  std::vector<uint8_t> rgb;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        const double wave = std::sin(0.02 * static_cast<double>(x) + c) * std::cos(0.03 * static_cast<double>(y));
        rgb.push_back(static_cast<uint8_t>(128 + 100 * wave + static_cast<double>(generator() % 27)));
      }
  return rgb;
}

ClassSet make_classes(const BenchOptions& o, const Model& model) {
  return o.classes.empty() ? random_classes(o.labels ? o.labels : kRandomLabels, model) : read_classes(o, model);
}
