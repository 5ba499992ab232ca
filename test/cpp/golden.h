// Reads the golden data of tools/golden (photos, and the results of every stage in float64) and compares results with them.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "clip/model_file.h"
#include "npy.h"
#include "segmenter.h"

inline const char* const kSmallModel = "/vit-small-random.pt";

const clip_es::ModelFile& model_at(const std::string& path);

// Segments one photo. Throws the failure, if there is one.
void run(clip_es::Segmenter&, clip_es::Request, const std::atomic<bool>* cancelled = nullptr);

struct Case {
  std::string name, folder, model_path;

  const clip_es::Model& model() const { return *model_at(model_path).model(); }
  bool has(const std::string& array) const;
  std::vector<float> golden(const std::string& array) const { return npy::read(folder + "/" + array + ".npy").floats(); }
};

// Pairs of a folder of cases and the model for them.
std::vector<std::pair<std::string, std::string>> golden_folders();
const std::vector<Case>& cases();

// The texts of a case in the form that the stages need: one row per label. The remaining rows are the background.
struct Words {
  npy::Array texts;
  std::vector<float> rows;
  std::vector<int64_t> first_row;
  std::vector<uint8_t> value;

  explicit Words(const Case&);
  int64_t labels() const { return static_cast<int64_t>(value.size()); }
  clip_es::LabelTexts label_texts() const;
};

// The engine's result of each stage. `refined` and all later results are made with the golden box masks.
struct Results {
  clip_es::Grid grid{};
  std::vector<float> pixels, features, mean_attention, logits, probabilities, cams, refined, refined_full, confidence;
  std::vector<uint8_t> boxes, golden_boxes, mask;  // boxes: made from the golden CAMs
};

// A stage that is inexact in bfloat16 and int8, and the limits of its mean difference from the golden data.
struct RoundedStage {
  const char* array;
  std::vector<float> Results::*values;
  double bfloat16, int8;
};
inline constexpr RoundedStage kRoundedStages[] = {{"features", &Results::features, 0.008, 0.035},
                                                  {"logits", &Results::logits, 0.1, 0.35},
                                                  {"mean_attention", &Results::mean_attention, 6e-5, 2e-4},
                                                  {"cams", &Results::cams, 0.004, 0.01},
                                                  {"refined", &Results::refined, 0.002, 0.005},
                                                  {"refined_full", &Results::refined_full, 0.002, 0.006},
                                                  {"confidence", &Results::confidence, 0.004, 0.012}};

// The differences of one stage from the golden data, over all cases that have it.
struct GoldenDifferences {
  double mean = 0, largest = 0;

  void add(const std::vector<float>& got, const std::vector<float>& want);

 private:
  double count_ = 0;
};

// Reorders the result of preprocess() to (3, height, width), the order of the golden pixels.
std::vector<float> to_pixels(const std::vector<float>& patch_rows, const clip_es::Grid&, int64_t patch);

// The largest relative difference. For logits below 1 it is the absolute difference: such a logit comes from a cosine near 0.
double largest_relative(const std::vector<float>& got, const std::vector<float>& want);
// True if a cell of this map is so near to the box threshold that rounding can move it to the other side.
bool near_threshold(std::span<const float> cam);
// The share of elements that differ, in percent.
double differing_percent(const std::vector<uint8_t>& got, const std::vector<float>& want);
std::string number(double value);
