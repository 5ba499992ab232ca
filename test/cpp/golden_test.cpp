// Compares every stage with the float64 results that tools/golden computed for the golden photos. The limits are the row "float32, CPU" of
// the accuracy contract. The photos in GOLDEN/small use the model GOLDEN/vit-small-random.pt, and so do the full-size photos in
// $CLIP_ES_GOLDEN_FULL. Every other folder GOLDEN/NAME with a model.pt uses that model.
#include "golden.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <tuple>

#include "cam/box_mask.h"
#include "check.h"
#include "clip/preprocess.h"
#include "clip/text_tower.h"
#include "device/cpu/device.h"
#include "device/cpu/memory.h"
#include "heap.h"
#include "npy.h"
#include "options.h"
#include "segmenter.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;
namespace fs = std::filesystem;

namespace {

// A CPU device with the weights of a model.
struct Loaded {
  const Model& model;
  cpu::CpuDevice device{test_context().arena};

  Loaded(const std::string& path, Precision precision) : model(*model_at(path).model()) {
    device.load(test_context(), model_at(path), precision);
  }
};

Loaded& loaded(const std::string& path, Precision precision) {
  static std::map<std::pair<std::string, Precision>, std::unique_ptr<Loaded>> all;
  auto& one = all[{path, precision}];
  if (!one) one = std::make_unique<Loaded>(path, precision);
  return *one;
}

template <class T>
DeviceSpan<T> span_of(std::vector<T>& values) {
  return cpu::on_device(HostSpan<T>(values));
}

void run_words(cpu::CpuDevice& device, DeviceContext& context, const Case& c, const DeviceLastBlock& last, const npy::Photo& photo,
               Results& r) {
  const Words words(c);
  const int64_t labels = words.labels(), map_size = labels * r.grid.patches(), pixels = photo.width * photo.height;
  const auto maps = [&](std::vector<float>& values) { return DeviceMaps{span_of(values), labels, r.grid}; };
  r.logits.resize(words.texts.shape[0]);
  r.probabilities.resize(r.logits.size());
  r.cams.resize(map_size);
  device.softmax_gradcam(context, last, words.label_texts(), span_of(r.logits), span_of(r.probabilities), maps(r.cams));
  std::vector<float> golden_cams = c.golden("cams");
  const std::vector<float> golden_boxes = c.golden("box_masks");
  r.golden_boxes.assign(golden_boxes.begin(), golden_boxes.end());
  r.boxes.resize(map_size);
  device.box_mask(context, maps(golden_cams), {}, span_of(r.boxes));
  r.refined.resize(map_size);
  device.refine_cams(context, span_of(r.mean_attention), maps(r.cams), span_of(r.golden_boxes), {}, maps(r.refined));
  std::vector<float> enlarged = r.refined;
  r.refined_full.resize(labels * pixels);
  r.confidence.resize(pixels);
  r.mask.resize(pixels);
  device.make_pseudo_mask(context, maps(enlarged), words.value, {photo.width, photo.height}, {},
                          {r.mask.data(), r.confidence.data(), r.refined_full.data()});
}

Results run_stages(HostContext& host, const Case& c, Precision precision) {
  auto& [model, device] = loaded(c.model_path, precision);
  DeviceContext context{host.pool, device.arena()};
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  Results r;
  r.grid = patch_grid({photo.width, photo.height}, model.shape.patch, 0);
  const int64_t patches = r.grid.patches(), n = r.grid.tokens();
  std::vector<float> patch_rows(patches * model.patch_values());
  device.preprocess(context, {photo.rgb.data(), photo.width, photo.height, 3}, 0, span_of(patch_rows));
  r.pixels = to_pixels(patch_rows, r.grid, model.shape.patch);
  r.features.resize(n * model.shape.width);
  r.mean_attention.resize(patches * patches);
  const DeviceSpan<float> means[] = {span_of(r.mean_attention)};
  device.encode_images(context, {&r.grid, 1}, span_of(patch_rows), span_of(r.features), means);
  const LastBlockShape shape{model.image.width, model.last_hidden, model.image.heads};
  std::vector<float> memory(last_block_floats(shape, n));
  DeviceLastBlock last{.tokens = n};
  lay_out_last_blocks(shape, std::span(&last, 1), span_of(memory));
  device.run_last_block(context, span_of(r.features), {&last, 1}, means);
  run_words(device, context, c, last, photo, r);
  return r;
}

const Results& results_of(const Case& c, int threads, Precision precision = Precision::kFloat32) {
  static std::map<std::tuple<std::string, int, Precision>, Results> all;
  const auto [found, is_new] = all.try_emplace({c.name, threads, precision});
  if (is_new) found->second = run_stages(context_with(threads), c, precision);
  return found->second;
}

struct Differences {
  double mean = 0, largest = 0;
};

// The mean and the largest difference of one stage from the golden data, over all cases, in bfloat16 or int8.
Differences rounding(const std::string& array, std::vector<float> Results::*stage, Precision precision) {
  Differences all;
  double sum = 0, count = 0;
  for (const Case& c : cases()) {
    if (!c.has(array)) continue;
    const std::vector<float>&got = results_of(c, 1, precision).*stage, want = c.golden(array);
    for (size_t i = 0; i < want.size(); ++i) {
      const double off = std::abs(static_cast<double>(got[i]) - want[i]);
      all.largest = off <= all.largest ? all.largest : std::isnan(off) ? INFINITY : off;
      sum += off;
    }
    count += static_cast<double>(want.size());
  }
  all.mean = sum / count;
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
      const Results& r = results_of(c, threads);
      const std::vector<float> golden = c.golden("cams");
      const auto patches = static_cast<size_t>(r.grid.patches());
      for (size_t first = 0; first < golden.size(); first += patches) {
        std::vector<uint8_t> own(patches);
        std::vector<float> cam(r.cams.begin() + first, r.cams.begin() + first + patches);
        box_mask(context_with(threads), maps_of(cam, r.grid), {}, own);
        if (std::equal(own.begin(), own.end(), r.golden_boxes.begin() + static_cast<int64_t>(first))) ++same;
        else if (near_threshold(std::span(golden).subspan(first, patches))) ++near;
        else check::fail(__FILE__, __LINE__, c.name + ": the box mask of map " + std::to_string(first / patches) + " differs");
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
  struct Stage {
    const char* array;
    std::vector<float> Results::*values;
    double bfloat16, int8;  // limits of the mean difference
  };
  const Stage stages[] = {{"features", &Results::features, 0.008, 0.035},
                          {"logits", &Results::logits, 0.1, 0.35},
                          {"mean_attention", &Results::mean_attention, 6e-5, 2e-4},
                          {"cams", &Results::cams, 0.004, 0.01},
                          {"refined", &Results::refined, 0.002, 0.005},
                          {"refined_full", &Results::refined_full, 0.002, 0.006},
                          {"confidence", &Results::confidence, 0.004, 0.012}};
  for (const Precision precision : {Precision::kBFloat16, Precision::kInt8}) {
    CHECK_BELOW(rounding("pixels", &Results::pixels, precision).largest, 1e-6);
    for (const Stage& stage : stages) {
      const Differences d = rounding(stage.array, stage.values, precision);
      check::note(std::string(name_of(precision)) + ", " + stage.array + ": mean difference " + number(d.mean) + ", largest " +
                  number(d.largest));
      CHECK_BELOW(d.mean, precision == Precision::kInt8 ? stage.int8 : stage.bfloat16);
    }
  }
}

TEST("the segmenter returns the golden mask, confidence, maps and scores, in one call or with a separate encode()") {
  double worst = 0, worst_share = 0;
  int skipped = 0, compared = 0;
  for (const Case& c : cases())
    for (const int threads : {1, 3}) {
      static std::map<std::pair<std::string, int>, std::unique_ptr<Segmenter>> segmenters;
      auto& segmenter = segmenters[{c.model_path, threads}];
      if (!segmenter) segmenter = std::make_unique<Segmenter>(c.model_path, SegmenterSettings{.threads = threads, .max_side = 0});
      const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
      const Words words(c);
      const auto pixels = static_cast<size_t>(photo.width * photo.height);
      auto make_outputs = [&] {
        Results r;
        r.mask.resize(pixels);
        r.confidence.resize(pixels);
        r.refined_full.resize(static_cast<size_t>(words.labels()) * pixels);
        r.probabilities.resize(words.labels());
        return r;
      };
      auto outputs = [](Results& r) {
        return SegmentOutputs{{r.mask.data(), r.confidence.data(), r.refined_full.data()}, r.probabilities.data()};
      };
      Results one = make_outputs(), two = make_outputs();
      StageTimes times;
      const Image image{photo.rgb.data(), photo.width, photo.height, 3};
      run(*segmenter, {.image = image, .texts = words.label_texts(), .outputs = outputs(one)});
      const auto encoded = segmenter->encode(image, times);
      run(*segmenter, {.encoded = encoded.get(), .texts = words.label_texts(), .outputs = outputs(two)});
      CHECK(one.mask == two.mask && one.confidence == two.confidence && one.refined_full == two.refined_full);
      CHECK(one.probabilities == two.probabilities);

      const Results& staged = results_of(c, threads);
      bool same_boxes = true;
      const int64_t patches = staged.grid.patches();
      for (int64_t k = 0; k < words.labels(); ++k) {
        std::vector<uint8_t> own(patches);
        std::vector<float> cam(staged.cams.begin() + k * patches, staged.cams.begin() + (k + 1) * patches);
        box_mask(context_with(threads), maps_of(cam, staged.grid), {}, own);
        same_boxes = same_boxes && std::equal(own.begin(), own.end(), staged.golden_boxes.begin() + k * patches);
      }
      if (!same_boxes) {
        ++skipped;  // a cell on the threshold changes the box and so the map; the test above checks these boxes
        continue;
      }
      ++compared;
      std::vector<float> scores = c.golden("probabilities");
      scores.resize(one.probabilities.size());
      worst = std::max({worst, largest_difference(one.refined_full, c.golden("refined_full")),
                        largest_difference(one.confidence, c.golden("confidence")), largest_difference(one.probabilities, scores)});
      const std::vector<float> mask = c.golden("mask");
      size_t differing = 0;
      for (size_t i = 0; i < pixels; ++i) differing += one.mask[i] != mask[i];
      worst_share = std::max(worst_share, 100.0 * static_cast<double>(differing) / static_cast<double>(pixels));
    }
  check::note("largest difference " + number(worst) + ", " + number(worst_share) + " % of a mask's pixels differ; " +
              std::to_string(compared) + " runs compared, " + std::to_string(skipped) + " skipped because a cell is on the threshold");
  CHECK(compared > 0);
  CHECK_BELOW(worst, 5e-5);
  CHECK(worst_share <= 0.1);
}

TEST("for photos of a known size a segmenter allocates no workspace and no heap memory, and its results do not change") {
  {
    const HeapWatch watch;
    const std::vector<int> asked(7);
    const int* volatile used = asked.data();  // without a use, Clang removes the allocation
    CHECK(used && watch.count() == (HeapWatch::kCounts ? 1 : 0));
  }
  Segmenter segmenter(options().golden + kSmallModel, {.threads = 3});
  uint64_t settled = 0, heap = 0;
  std::map<std::string, std::vector<uint8_t>> first;
  for (int round = 0; round < 4; ++round) {
    for (const Case& c : cases()) {
      if (c.model_path != options().golden + kSmallModel || c.name.find("small/") != 0) continue;
      const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
      const Words words(c);
      std::vector<uint8_t> mask(static_cast<size_t>(photo.width * photo.height));
      const LabelTexts texts = words.label_texts();
      const auto segment = [&](const SegmentSettings& settings) {
        const HeapWatch watch;
        run(segmenter, {.image = {photo.rgb.data(), photo.width, photo.height, 3},
                        .texts = texts,
                        .settings = settings,
                        .outputs = {{mask.data()}, nullptr}});
        if (round > 1) heap += watch.count();
      };
      SegmentSettings with_crf;
      with_crf.crf.emplace();
      segment(with_crf);
      segment({});
      if (round == 0) first[c.name] = mask;
      CHECK(mask == first[c.name]);
    }
    if (round == 1) settled = segmenter.allocations();
  }
  CHECK(first.size() >= 4);
  CHECK(segmenter.allocations() == settled);
  CHECK(heap == 0);
}

TEST("a cancelled segmenter stops, and segments the next photo correctly") {
  Segmenter segmenter(options().golden + kSmallModel, {.threads = 3});
  const Case c{"", options().golden + "/small/chelsea_150x113", options().golden + kSmallModel};
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  const Words words(c);
  const Image image{photo.rgb.data(), photo.width, photo.height, 3};
  std::vector<uint8_t> mask(static_cast<size_t>(photo.width * photo.height)), again = mask;
  run(segmenter, {.image = image, .texts = words.label_texts(), .outputs = {{mask.data()}, nullptr}});
  const std::atomic<bool> cancelled{true};
  bool stopped = false;
  try {
    run(segmenter, {.image = image, .texts = words.label_texts(), .outputs = {{again.data()}, nullptr}}, &cancelled);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped);
  run(segmenter, {.image = image, .texts = words.label_texts(), .outputs = {{again.data()}, nullptr}});
  CHECK(again == mask);
}
