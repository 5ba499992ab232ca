// Compares every stage with the float64 results that tools/golden computed for the golden photos. The limits are the row "float32, CPU" of
// the accuracy contract. The photos in GOLDEN/small use the model GOLDEN/vit-small-random.pt, and so do the full-size photos in
// $CLIP_ES_GOLDEN_FULL. Every other folder GOLDEN/NAME with a model.pt uses that model.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "clip/text_tower.h"
#include "golden_stages.h"
#include "support.h"

namespace clip_es::golden_test {

using check::largest_difference;

namespace {

// The mean and the largest difference of one stage from the golden data, over all cases, in bfloat16 or int8.
GoldenDifferences rounding(const std::string& array, std::vector<float> Results::*stage, Precision precision) {
  GoldenDifferences all;
  for (const Case& c : cases())
    if (c.has(array)) all.add(results_of(c, 1, precision).*stage, c.golden(array));
  return all;
}

// The largest difference of one stage over all cases that have its golden data, with pools of 1 and 3 threads.
void compare(const std::string& array, std::vector<float> Results::*stage, double limit,
             double (*difference)(const std::vector<float>&, const std::vector<float>&) = largest_difference) {
  double worst = 0;
  std::string worst_case = "none";
  for (const Case& c : cases())
    for (const int threads : {1, 3}) {
      if (!c.has(array)) continue;
      const double d = difference(results_of(c, threads).*stage, c.golden(array));
      if (d > worst || worst_case == "none") worst = d, worst_case = c.name;
    }
  check::note(array + ": largest difference " + number(worst) + " (" + worst_case + "), limit " + number(limit));
  CHECK(worst_case != "none");
  CHECK_BELOW(worst, limit);
}

}  // namespace

TEST("text embeddings are within 2e-5 of the golden ones") {
  double worst = 0;
  for (const auto& [folder, model_path] : golden_folders()) {
    const ModelFile& file = model_at(model_path);
    const Model& model = *file.model();
    const TextTower tower(file);
    const npy::Array tokens = npy::read(folder + "/texts/tokens.npy"), want = npy::read(folder + "/texts/embeddings.npy");
    CHECK(tokens.shape[1] == model.shape.context);
    for (const int threads : {1, 3}) {
      std::vector<float> got(want.data.size());
      encode_text(context_with(threads), model, tower, tokens.ints(), got);
      worst = std::max(worst, largest_difference(got, want.data));
    }
  }
  check::note("largest difference " + number(worst));
  CHECK_BELOW(worst, 2e-5);
}

TEST("pixels are within 1e-6 of the golden ones") { compare("pixels", &Results::pixels, 1e-6); }
TEST("features are within 5e-5 of the golden ones") { compare("features", &Results::features, 5e-5); }
TEST("logits are within 2e-5 of the golden ones, as a relative difference") { compare("logits", &Results::logits, 2e-5, largest_relative); }
TEST("probabilities are within 2e-5 of the golden ones") { compare("probabilities", &Results::probabilities, 2e-5); }
TEST("CAMs are within 2e-5 of the golden ones") { compare("cams", &Results::cams, 2e-5); }
TEST("the mean attention is within 2e-6 of the golden one") { compare("mean_attention", &Results::mean_attention, 2e-6); }
TEST("refined maps are within 2e-5 of the golden ones, given the golden box masks") { compare("refined", &Results::refined, 2e-5); }
TEST("maps at the photo's size are within 5e-5 of the golden ones") { compare("refined_full", &Results::refined_full, 5e-5); }
TEST("the confidence is within 5e-5 of the golden one") { compare("confidence", &Results::confidence, 5e-5); }

TEST("box masks made from the golden CAMs equal the golden box masks in every cell") {
  for (const Case& c : cases())
    if (results_of(c, 3).boxes != results_of(c, 3).golden_boxes) check::fail(__FILE__, __LINE__, c.name + ": box masks differ");
}

TEST("box masks made from our own CAMs equal the golden ones if no cell is within 1e-4 of the threshold") {
  int same = 0, near = 0;
  for (const Case& c : cases())
    for (const int threads : {1, 3}) {
      const std::vector<float> golden = c.golden("cams");
      const auto patches = static_cast<size_t>(results_of(c, threads).grid.patches());
      for (size_t map = 0; map < golden.size() / patches; ++map) {
        if (has_golden_box(c, threads, static_cast<int64_t>(map))) ++same;
        else if (near_threshold(std::span(golden).subspan(map * patches, patches))) ++near;
        else check::fail(__FILE__, __LINE__, c.name + ": the box mask of map " + std::to_string(map) + " differs");
      }
    }
  check::note(std::to_string(same) + " box masks are equal; " + std::to_string(near) + " differ because a cell is on the threshold");
}

TEST("at most 0.1 % of a mask's pixels differ from the golden one") {
  double worst = 0;
  for (const Case& c : cases())
    for (const int threads : {1, 3}) worst = std::max(worst, differing_percent(results_of(c, threads).mask, c.golden("mask")));
  check::note("at most " + number(worst) + " % of the pixels differ");
  CHECK(worst <= 0.1);
}

TEST("in bfloat16 and int8 the pixels equal the golden ones, and the mean difference of every other stage is below its limit") {
  for (const Precision precision : {Precision::kBFloat16, Precision::kInt8}) {
    CHECK_BELOW(rounding("pixels", &Results::pixels, precision).largest, 1e-6);
    for (const RoundedStage& stage : kRoundedStages) {
      const GoldenDifferences d = rounding(stage.array, stage.values, precision);
      check::note(std::string(name_of(precision)) + ", " + stage.array + ": mean difference " + number(d.mean) + ", largest " +
                  number(d.largest));
      CHECK_BELOW(d.mean, precision == Precision::kInt8 ? stage.int8 : stage.bfloat16);
    }
  }
}

}  // namespace clip_es::golden_test
