// Each stage of the CPU stops when its job is cancelled, before it writes results.
#include <algorithm>

#include "cam/last_block_forward.h"
#include "cam/patch_features.h"
#include "cam/windows.h"
#include "cam/word_maps.h"
#include "check.h"
#include "clip/preprocess.h"
#include "crf/dense_crf.h"
#include "device/cpu/device.h"
#include "device/cpu/memory.h"
#include "device/cpu/weights.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"
#include "support.h"

namespace clip_es::cancel_test {

namespace {

template <class Work>
bool is_cancelled(Work work) {
  try {
    work();
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

// A context whose job is cancelled when a stage first takes memory, and so after the stage's first checkpoint.
struct CancelledWhileRunning {
  std::atomic<bool> cancelled{false};
  Arena arena{{[this](size_t bytes) {
                 cancelled = true;
                 return host_memory().allocate(bytes);
               },
               host_memory().limit}};
  HostContext context{test_context().pool, arena, &cancelled};
};

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
  const GradCamOfPhoto gradcam{last, {rows, first_row, {}, value}, maps, logits, probabilities};
  CHECK(is_cancelled([&] { device.softmax_gradcam(cancelled, {&gradcam, 1}); }));
  CHECK(is_untouched(cams));

  std::vector<uint8_t> boxes(2 * patches, 1);
  const RefinementOfPhoto refinement{span_of(means), maps, span_of(boxes), {}, to};
  CHECK(is_cancelled([&] { device.refine_cams(cancelled, {&refinement, 1}); }));
  CHECK(is_untouched(refined));

  const int64_t width = 20, height = 10;
  std::vector<float> confidence(width * height, kUntouched), scores(2 * width * height, kUntouched);
  std::vector<uint8_t> mask(width * height, 77);
  const MaskOfPhoto pseudo_mask{maps, value, {width, height}, {}, {.mask = mask.data(), .confidence = confidence.data()}};
  CHECK(is_cancelled([&] { device.make_pseudo_mask(cancelled, {&pseudo_mask, 1}); }));
  CHECK(is_untouched(confidence) && std::ranges::count(mask, 77) == width * height);
  CHECK(is_cancelled([&] { device.score_pixels(cancelled, maps, {width, height}, scores); }));
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

TEST("each stage of maps by similarity stops when its job is cancelled, with one window and with several") {
  const ModelFile& file = model_at(options().golden + kSmallModel);
  const Model& model = *file.model();
  const auto weights = cpu::make_weights(test_context(), file, Precision::kFloat32);
  const std::atomic<bool> yes{true};
  HostContext cancelled{test_context().pool, test_context().arena, &yes};
  const Grid grid{2, 3};
  const PhotoSize size{20, 10};
  const int64_t embedding = model.shape.embedding, patches = grid.patches(), patch = model.shape.patch;
  const std::vector<float> rows = Random().unit_rows(3, embedding), pixels(patches * model.patch_values(), 0.1f);
  const std::vector<int64_t> first_row{0, 1, 2};
  const std::vector<uint8_t> value{1, 2};
  const std::span<const float> words = rows;
  const LabelTexts texts{words.first(2 * embedding), first_row, words.subspan(2 * embedding), value};
  for (const SimilaritySettings& settings : {SimilaritySettings{}, SimilaritySettings{.window = patch, .stride = patch}}) {
    const Windows windows = make_windows(settings, grid, patch);
    std::vector<float> features(windows.patches() * embedding, kUntouched), attention(patches * patches, 0.1f),
        cosines(3 * windows.cells().patches(), 0.1f), maps(3 * patches, kUntouched), scores(3 * size.pixels(), kUntouched);
    CHECK(is_cancelled([&] {
      patch_features(cancelled, model, {weights->tower, weights->last_block}, settings, windows, pixels, features, {});
    }));
    CHECK(is_untouched(features));
    if (!windows.whole) CHECK(is_cancelled([&] { compare_words(cancelled, windows, features, texts, maps_of(cosines, windows.cells())); }));
    CHECK(is_cancelled([&] { word_maps(cancelled, windows, maps_of(cosines, windows.cells()), texts, 100, maps_of(maps, grid)); }));
    CHECK(is_untouched(maps));
    CHECK(is_cancelled([&] { score_words(cancelled, maps_of(cosines, windows.cells()), texts, 100, size, scores); }));
    CHECK(is_untouched(scores));
    std::vector<float> mean(3 * patches, 0.5f), refined(3 * patches);
    CHECK(is_cancelled([&] { refine_word_maps(cancelled, attention, maps_of(mean, grid), {}, {}, maps_of(refined, grid)); }));
  }
}

TEST("preprocessing that is cancelled during its first photo leaves the next one untouched") {
  const ModelFile& file = model_at(options().golden + kSmallModel);
  CancelledWhileRunning job;
  cpu::CpuDevice device(job.arena);
  device.share(file.model(), nullptr);
  DeviceContext c{test_context().pool, device.arena(), &job.cancelled};
  const std::vector<uint8_t> rgb(3 * 20 * 10, 100);
  const Image images[] = {{rgb.data(), 20, 10, 3}, {rgb.data(), 20, 10, 3}};
  const int64_t values = patch_grid({20, 10}, file.model()->shape.patch, 0).patches() * file.model()->patch_values();
  std::vector<float> patches(2 * values, kUntouched);
  CHECK(is_cancelled([&] { device.preprocess(c, images, 0, span_of(patches)); }));
  CHECK(std::ranges::count(std::span(patches).first(values), kUntouched) == 0);
  CHECK(is_untouched(std::span<const float>(patches).subspan(values)));
}

TEST("a last block that is cancelled while it runs stops before it computes what only the gradients need") {
  Random random;
  const TestModel test = random_last_block(random, {64, 1, Activation::kGelu}, 16);
  const LastBlockShape shape{64, test.fast.last_hidden, 1};
  const LastBlockWeights weights = make_last_block_weights(test_context(), test.last, Precision::kFloat32);
  const int64_t n = 7, patches = n - 1;
  const std::vector<float> x = random.normal(n * 64);
  std::vector<float> memory(last_block_floats(shape, n), kUntouched), mean(patches * patches);
  HostLastBlock last{.tokens = n};
  lay_out_last_blocks(shape, std::span(&last, 1), HostSpan<float>(memory));
  const HostSpan<float> means[] = {mean};
  CancelledWhileRunning job;
  CHECK(is_cancelled([&] { run_last_block(job.context, test.fast, weights, x, {&last, 1}, means); }));
  for (const HostSpan<float>& written : {last.y, last.z_hat, last.pooled}) CHECK(std::ranges::count(written, kUntouched) == 0);
  CHECK(is_untouched(last.omega) && is_untouched(last.h_hat_out) && is_untouched(last.z_hat_out));
}

}  // namespace clip_es::cancel_test
