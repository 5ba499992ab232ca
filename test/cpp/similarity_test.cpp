// Compares maps by similarity with the results that tools/golden/make_similarity.py computed in float64, and the new operations with their
// naive twins.
#include <algorithm>
#include <cmath>

#include "cam/patch_features.h"
#include "cam/token_similarity.h"
#include "cam/windows.h"
#include "cam/word_maps.h"
#include "check.h"
#include "clip/preprocess.h"
#include "device/cpu/weights.h"
#include "golden.h"
#include "ops/attention.h"
#include "segment_job.h"
#include "similarity_presets.h"
#include "support.h"

namespace clip_es::similarity_test {

using check::largest_difference;

namespace {

bool has_similarity(const Case& c) { return c.has("similarity/naclip_maps"); }

SimilaritySettings in_windows(const Case& c) {
  const int64_t patch = c.model().shape.patch;
  return {.window = 3 * patch, .stride = 2 * patch};
}

// What the stages compute for a golden photo.
struct Stages {
  std::vector<float> features, maps, refined;
};

Stages run_stages(const Case& c, const SimilaritySettings& settings, int threads, Precision precision) {
  HostContext& host = context_with(threads);
  const ModelFile& file = model_at(c.model_path);
  const Model& model = *file.model();
  const auto weights = cpu::make_weights(host, file, precision);
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  const Windows windows = make_windows(settings, patch_grid({photo.width, photo.height}, model.shape.patch, 0), model.shape.patch);
  const int64_t patches = windows.photo.patches();
  std::vector<float> rows(patches * model.patch_values()), attention(patches * patches);
  preprocess(host, model, {photo.rgb.data(), photo.width, photo.height, 3}, 0, rows);
  Stages r{std::vector<float>(windows.patches() * model.shape.embedding), {}, {}};
  patch_features(host, model, {weights->tower, weights->last_block}, settings, windows, rows, r.features, attention);
  const Words words(c);
  const LabelTexts texts = words.label_texts();
  std::vector<float> cosines(count_words(texts, model.shape.embedding) * windows.cells().patches());
  r.maps.resize((words.labels() + 1) * patches);
  r.refined.resize(r.maps.size());
  compare_words(host, windows, r.features, texts, maps_of(cosines, windows.cells()));
  word_maps(host, windows, maps_of(cosines, windows.cells()), texts, settings.logit_scale, maps_of(r.maps, windows.photo));
  refine_word_maps(host, attention, maps_of(r.maps, windows.photo), {}, {}, maps_of(r.refined, windows.photo));
  return r;
}

// The largest differences from the golden results of one preset, over all photos.
struct Differences {
  double features = 0, maps = 0, refined = 0;
};

Differences compare(const std::string& name, const SimilaritySettings* given, Precision precision, const std::vector<int>& threads) {
  Differences worst;
  int compared = 0;
  for (const Case& c : cases()) {
    if (!has_similarity(c)) continue;
    for (const int count : threads) {
      const auto golden = [&](const std::string& stage) { return c.golden("similarity/" + name + "_" + stage); };
      const Stages r = run_stages(c, given ? *given : in_windows(c), count, precision);
      if (given) worst.features = std::max(worst.features, largest_difference(r.features, golden("features")));
      worst.maps = std::max(worst.maps, largest_difference(r.maps, golden("maps")));
      worst.refined = std::max(worst.refined, largest_difference(r.refined, golden("refined")));
      ++compared;
    }
  }
  CHECK(compared > 0);
  check::note(name + ": largest difference of features " + number(worst.features) + ", maps " + number(worst.maps) + ", refined " +
              number(worst.refined));
  return worst;
}

}  // namespace

TEST("patch features by each published method are within 5e-5 of the golden ones, maps within 1e-4") {
  for (const SimilarityPreset& preset : similarity_presets()) {
    const Differences worst = compare(preset.name, &preset.settings, Precision::kFloat32, {1, 3});
    CHECK_BELOW(worst.features, 5e-5);
    CHECK_BELOW(worst.maps, 1e-4);
    CHECK_BELOW(worst.refined, 1e-4);
  }
}

TEST("maps in sliding windows are within 1e-4 of the golden ones") {
  const Differences worst = compare("windows", nullptr, Precision::kFloat32, {1, 3});
  CHECK_BELOW(worst.maps, 1e-4);
  CHECK_BELOW(worst.refined, 1e-4);
}

TEST("maps by similarity in bfloat16 and int8 stay near the golden ones") {
  for (const Precision precision : {Precision::kBFloat16, Precision::kInt8}) {
    const SimilaritySettings naclip;
    const double worst = compare("naclip", &naclip, precision, {1}).maps;
    CHECK_BELOW(worst, precision == Precision::kInt8 ? 0.3 : 0.1);
  }
}

TEST("the segmenter's masks and confidences by similarity are the golden ones, for a photo and for an encoded photo") {
  double worst = 0, worst_share = 0;
  int compared = 0;
  for (const Case& c : cases()) {
    if (!has_similarity(c)) continue;
    Segmenter segmenter(c.model_path, {.threads = 2, .max_side = 0});
    for (const std::string name : {"naclip", "windows"})
      for (const bool refine : {false, true}) {
        const std::string stage = "similarity/" + name + (refine ? "_refined" : "");
        SegmentSettings settings;
        settings.similarity = name == "naclip" ? SimilaritySettings{} : in_windows(c);
        settings.refine = refine;
        SegmentJob one(c), two(c);
        run(segmenter, one.request(settings));
        StageTimes times;
        const auto encoded = segmenter.encode(two.image(), times);
        Request request = two.request(settings);
        request.image = {};
        request.encoded = encoded.get();
        run(segmenter, request);
        CHECK(one.mask == two.mask && one.confidence == two.confidence && one.maps == two.maps && one.scores == two.scores);
        worst = std::max(worst, largest_difference(one.confidence, c.golden(stage + "_confidence")));
        worst_share = std::max(worst_share, differing_percent(one.mask, c.golden(stage + "_mask")));
        for (int64_t k = 0; k < one.words.labels(); ++k) {
          const auto map = std::span(one.maps).subspan(k * one.mask.size(), one.mask.size());
          CHECK(one.scores[k] == *std::ranges::max_element(map));
        }
        ++compared;
      }
  }
  check::note("largest difference " + number(worst) + ", " + number(worst_share) + " % of a mask's pixels differ");
  CHECK(compared > 0);
  CHECK_BELOW(worst, 1e-4);
  CHECK(worst_share <= 0.1);
}

TEST("attention with a neighbourhood prior equals its twin, with tokens before the grid and without") {
  Random random;
  double worst = 0;
  for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {5, 7}, {13, 12}, {1, 150}})
    for (const int64_t others : {0, 1}) {
      const int64_t n = height * width + others, channels = 96, heads = 3;
      const std::vector<float> qkv = random.normal(3 * n * channels), rows = random.uniform(height), columns = random.uniform(width);
      reference::Matrix bias(n, n);
      for (int64_t i = 0; i < height * width; ++i)
        for (int64_t j = 0; j < height * width; ++j)
          bias(i + others, j + others) = rows[std::abs(i / width - j / width)] * columns[std::abs(i % width - j % width)];
      const auto want = reference::attention(reference::Matrix(n, 3 * channels, qkv), heads, false, &bias);
      for (const int threads : {1, 3}) {
        std::vector<float> out(n * channels);
        const ops::NeighbourPrior prior{rows, columns};
        ops::attention_with_prior(context_with(threads), {qkv.data(), channels, heads}, n, &prior, out.data());
        worst = std::max(worst, largest_difference(out, want.out.values));
      }
    }
  check::note("largest difference " + number(worst));
  CHECK_BELOW(worst, 5e-6);
}

TEST("the softmax over columns equals its twin") {
  Random random(4);
  for (const int64_t rows : {1, 2, 45})
    for (const int64_t count : {1, 7, 500}) {
      std::vector<float> x = random.uniform(rows * count, -1, 1), scratch(2 * count);
      std::vector<double> want(x.size());
      for (int64_t j = 0; j < count; ++j) {
        std::vector<double> column;
        for (int64_t r = 0; r < rows; ++r) column.push_back(x[r * count + j]);
        const auto softmax = reference::softmax(column, 40);
        for (int64_t r = 0; r < rows; ++r) want[r * count + j] = softmax.probabilities[r];
      }
      ops::softmax_columns(x.data(), rows, count, count, 40, scratch.data());
      CHECK_BELOW(largest_difference(x, want), 2e-6);
    }
}

TEST("windows cover the photo, begin at whole patches and end at its end") {
  for (const Grid photo : {Grid{21, 28}, {14, 14}, {3, 40}, {15, 29}}) {
    const Windows windows = make_windows({.window = 224, .stride = 112}, photo, 16);
    std::vector<int> covered(photo.patches());
    for (const int64_t y : windows.rows)
      for (const int64_t x : windows.columns)
        for (int64_t i = 0; i < windows.window.patches(); ++i)
          ++covered[(y + i / windows.window.width) * photo.width + x + i % windows.window.width];
    CHECK(std::ranges::min(covered) >= 1);
    CHECK(windows.rows.back() + windows.window.height == photo.height && windows.columns.back() + windows.window.width == photo.width);
  }
  CHECK((make_windows({.window = 224, .stride = 112}, {21, 28}, 16).columns == std::vector<int64_t>{0, 7, 14}));
  CHECK((make_windows({.window = 224, .stride = 112}, {10, 9}, 32).rows == std::vector<int64_t>{0, 3}));
}

TEST("an outlier becomes the mean of its neighbours that are none, and a patch far from the others is one") {
  Random random(9);
  const Grid grid{6, 7};
  const int64_t width = 16;
  std::vector<float> patches = random.normal(grid.patches() * width);
  for (int64_t c = 0; c < width; ++c) patches[8 * width + c] = 50, patches[9 * width + c] = -50;
  const std::vector<float> before = patches;
  std::vector<uint8_t> outlier(grid.patches());
  find_outliers(test_context(), patches, 0.05f, outlier);
  CHECK(outlier[8] == 1 && outlier[9] == 1 && std::ranges::count(outlier, 1) == 3);  // 5 % of 42, rounded up
  std::ranges::fill(outlier, uint8_t{0});
  outlier[8] = outlier[9] = 1;
  repair_patches(test_context(), outlier, grid, patches);
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (const int64_t j : {0, 1, 2, 7, 14, 15, 16}) sum += before[j * width + c];
    CHECK_BELOW(std::abs(patches[8 * width + c] - sum / 7), 1e-5);
  }
}

}  // namespace clip_es::similarity_test
