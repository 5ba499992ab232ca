// The golden data (tools/golden) as the tests see them: photos with the results of every stage in float64, and what the engine gave.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "clip/model_file.h"
#include "npy.h"
#include "segmenter.h"

inline const char* const kSmallModel = "/vit-small-random.pt";

const clip_es::ModelFile& model_at(const std::string& path);

// Segments one photo. Throws the failure.
void run(clip_es::Segmenter&, clip_es::Request, const std::atomic<bool>* cancelled = nullptr);

struct Case {
  std::string name, folder, model_path;

  const clip_es::Model& model() const { return *model_at(model_path).model(); }
  bool has(const std::string& array) const;
  std::vector<float> golden(const std::string& array) const { return npy::read(folder + "/" + array + ".npy").floats(); }
};

// Folders of cases with their models.
std::vector<std::pair<std::string, std::string>> golden_folders();
const std::vector<Case>& cases();

// A case's texts as the stages want them: one row per label, the rest background.
struct Words {
  npy::Array texts;
  std::vector<float> rows;
  std::vector<int64_t> first_row;
  std::vector<uint8_t> value;

  explicit Words(const Case&);
  int64_t labels() const { return static_cast<int64_t>(value.size()); }
  clip_es::LabelTexts label_texts() const;
};

// What each stage gave; from `refined` on with the golden box masks.
struct Results {
  clip_es::Grid grid{};
  std::vector<float> pixels, features, mean_attention, logits, probabilities, cams, refined, refined_full, confidence;
  std::vector<uint8_t> boxes, golden_boxes, mask;  // boxes: from the golden CAMs
};

// patch_rows of preprocess() in the golden order (3, height, width).
std::vector<float> to_pixels(const std::vector<float>& patch_rows, const clip_es::Grid&, int64_t patch);

// Relative, but for logits below 1: those are cosines of nearly nothing, times the scale.
double largest_relative(const std::vector<float>& got, const std::vector<float>& want);
// Whether a cell of this map lies so near the threshold that rounding decides.
bool near_threshold(std::span<const float> cam);
// The share of elements that differ, in percent.
double differing_percent(const std::vector<uint8_t>& got, const std::vector<float>& want);
std::string number(double value);
