// Each stage of the CPU stops when its job is cancelled, before it writes results.
#include <algorithm>

#include "check.h"
#include "clip/preprocess.h"
#include "crf/dense_crf.h"
#include "device/cpu/device.h"
#include "device/cpu/memory.h"
#include "golden.h"
#include "options.h"
#include "support.h"

using namespace clip_es;

namespace {

constexpr float kUntouched = -7;

template <class Work>
bool is_cancelled(Work work) {
  try {
    work();
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

bool is_untouched(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return value == kUntouched; });
}

template <class T>
DeviceSpan<T> span_of(std::vector<T>& values) {
  return cpu::on_device(HostSpan<T>(values));
}

}  // namespace

TEST("each stage stops when its job is cancelled, and leaves its results untouched") {
  const ModelFile& file = model_at(options().golden + kSmallModel);
  const Model& model = *file.model();
  cpu::CpuDevice device(test_context().arena);
  device.load(test_context(), file, Precision::kFloat32);
  const std::atomic<bool> yes{true};
  DeviceContext cancelled{test_context().pool, device.arena(), &yes};
  HostContext host{test_context().pool, test_context().arena, &yes};

  const Grid grid{2, 3};
  const int64_t n = grid.tokens(), patches = grid.patches();
  std::vector<float> patch_rows(patches * model.patch_values(), 0.1f), tokens(n * model.shape.width), means(patches * patches, 0.1f);
  const DeviceSpan<float> mean_attention[] = {span_of(means)};
  CHECK(is_cancelled([&] { device.encode_images(cancelled, {&grid, 1}, span_of(patch_rows), span_of(tokens), mean_attention); }));

  const LastBlockShape shape{model.image.width, model.last_hidden, model.image.heads};
  std::vector<float> memory(last_block_floats(shape, n), kUntouched);
  DeviceLastBlock last{.tokens = n};
  lay_out_last_blocks(shape, std::span(&last, 1), span_of(memory));
  CHECK(is_cancelled([&] { device.run_last_block(cancelled, span_of(tokens), {&last, 1}, mean_attention); }));
  CHECK(is_untouched(memory));

  std::ranges::fill(memory, 0.5f);
  Random random;
  const std::vector<float> rows = random.unit_rows(2, model.shape.embedding);
  const std::vector<int64_t> first_row{0, 1, 2};
  const std::vector<uint8_t> value{1, 2};
  std::vector<float> logits(2), probabilities(2), cams(2 * patches, kUntouched), refined(2 * patches, kUntouched);
  const DeviceMaps maps{span_of(cams), 2, grid}, to{span_of(refined), 2, grid};
  CHECK(is_cancelled([&] {
    device.softmax_gradcam(cancelled, last, {rows, first_row, {}, value}, span_of(logits), span_of(probabilities), maps);
  }));
  CHECK(is_untouched(cams));

  std::vector<uint8_t> boxes(2 * patches, 1);
  CHECK(is_cancelled([&] { device.refine_cams(cancelled, span_of(means), maps, span_of(boxes), {}, to); }));
  CHECK(is_untouched(refined));

  const int64_t width = 20, height = 10;
  std::vector<float> confidence(width * height, kUntouched), scores(3 * width * height, kUntouched);
  std::vector<uint8_t> mask(width * height, 77);
  CHECK(is_cancelled([&] {
    device.make_pseudo_mask(cancelled, maps, value, {width, height}, {}, {.mask = mask.data(), .confidence = confidence.data()});
  }));
  CHECK(is_untouched(confidence) && std::ranges::count(mask, 77) == width * height);
  CHECK(is_cancelled([&] { device.score_pixels(cancelled, maps, {width, height}, {}, scores); }));
  CHECK(is_untouched(scores));

  const std::vector<int32_t> prompt(model.shape.context, 1);
  std::vector<float> embedding(model.shape.embedding, kUntouched);
  const TextTower text(file);
  CHECK(is_cancelled([&] { encode_text(host, model, text, prompt, embedding); }));
  CHECK(is_untouched(embedding));

  const std::vector<uint8_t> rgb(3 * width * height, 100);
  const std::vector<float> even(2 * width * height, 0.5f);
  CHECK(is_cancelled([&] {
    dense_crf(host, {rgb.data(), width, height, even.data(), 2}, {}, {.mask = mask.data(), .confidence = confidence.data()});
  }));
  CHECK(is_untouched(confidence) && std::ranges::count(mask, 77) == width * height);
}
