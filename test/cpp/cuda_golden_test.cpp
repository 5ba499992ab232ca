// Every stage of the CUDA device on the golden photos: on the GPU that --device names, else in the emulator. The limits are the float32
// CUDA row of the accuracy contract, and in bfloat16 those of the CPU.
#include <algorithm>
#include <map>

#include "check.h"
#include "clip/preprocess.h"
#include "cuda_support.h"
#include "golden.h"
#include "options.h"
#include "segmenter.h"
#include "support.h"

namespace clip_es::cuda_golden_test {

using check::largest_difference;

namespace {

// A model and a device that holds its weights.
struct Loaded {
  const Model& model;
  cuda::CudaDevice device;

  Loaded(const std::string& path, Precision precision) : model(*model_at(path).model()), device(test_gpu()) {
    device.load(test_context(), model_at(path), precision);
  }
};

Loaded& loaded(const std::string& path, Precision precision) {
  static std::map<std::pair<std::string, Precision>, std::unique_ptr<Loaded>> all;
  need_libtorch();
  auto& entry = all[{path, precision}];
  if (!entry) entry = std::make_unique<Loaded>(path, precision);
  return *entry;
}

void run_words(cuda::CudaDevice& device, DeviceContext& c, const Case& photo_case, const DeviceLastBlock& last,
               DeviceSpan<const float> mean_attention, const npy::Photo& photo, Results& r) {
  const Words words(photo_case);
  const int64_t labels = words.labels(), texts = words.texts.shape[0], map_size = labels * r.grid.patches();
  const auto maps = [&](const GpuArray<float>& values) { return DeviceMaps{values.span(), labels, r.grid}; };
  const GpuArray<float> cams(map_size), refined(map_size);
  r.logits.resize(texts);
  r.probabilities.resize(texts);
  const GradCamOfPhoto gradcam{last, words.label_texts(), maps(cams), r.logits, r.probabilities};
  device.softmax_gradcam(c, {&gradcam, 1});
  r.cams = cams.host();
  const std::vector<float> golden_boxes = photo_case.golden("box_masks");
  r.golden_boxes.assign(golden_boxes.begin(), golden_boxes.end());
  const GpuArray<float> golden_cams(photo_case.golden("cams"));
  const GpuArray<uint8_t> boxes(map_size), golden_box_masks(r.golden_boxes);
  const BoxesOfPhoto own_boxes{maps(golden_cams), {}, boxes.span()};
  device.box_mask(c, {&own_boxes, 1});
  r.boxes = boxes.host();
  const RefinementOfPhoto refinement{mean_attention, maps(cams), golden_box_masks.span(), {}, maps(refined)};
  device.refine_cams(c, {&refinement, 1});
  r.refined = refined.host();
  const int64_t pixels = photo.width * photo.height;
  r.refined_full.resize(labels * pixels);
  r.confidence.resize(pixels);
  r.mask.resize(pixels);
  const MaskOfPhoto mask{
      maps(refined), words.value, {photo.width, photo.height}, {}, {r.mask.data(), r.confidence.data(), r.refined_full.data()}};
  device.make_pseudo_mask(c, {&mask, 1});
}

Results run_stages(const Case& photo_case, Precision precision) {
  Loaded& on = loaded(photo_case.model_path, precision);
  cuda::CudaDevice& device = on.device;
  DeviceContext c{test_context().pool, device.arena()};
  const npy::Photo photo = npy::read_ppm(photo_case.folder + "/photo.ppm");
  const Model& model = on.model;
  Results r;
  r.grid = patch_grid({photo.width, photo.height}, model.shape.patch, 0);
  const int64_t patches = r.grid.patches(), n = r.grid.tokens();
  const LastBlockShape shape = device.last_block_shape();
  const GpuArray<float> patch_rows(patches * model.patch_values()), tokens(n * model.shape.width), mean_attention(patches * patches),
      memory(static_cast<int64_t>(last_block_floats(shape, n)));
  device.begin();
  const Image image{photo.rgb.data(), photo.width, photo.height, 3};
  device.preprocess(c, {&image, 1}, 0, patch_rows.span());
  if (precision == Precision::kFloat32) r.pixels = to_pixels(patch_rows.host(), r.grid, model.shape.patch);
  const DeviceSpan<float> means[] = {mean_attention.span()};
  device.encode_images(c, {&r.grid, 1}, patch_rows.span(), tokens.span(), means);
  DeviceLastBlock last{.tokens = n};
  lay_out_last_blocks(shape, std::span(&last, 1), memory.span());
  device.run_last_block(c, tokens.span(), {&last, 1}, means);
  r.features = tokens.host();
  r.mean_attention = mean_attention.host();
  run_words(device, c, photo_case, last, mean_attention.span(), photo, r);
  device.finish();
  return r;
}

const Results& results_of(const Case& c, Precision precision = Precision::kFloat32) {
  static std::map<std::pair<std::string, Precision>, Results> all;
  const auto [found, is_new] = all.try_emplace({c.name, precision});
  if (is_new) found->second = run_stages(c, precision);
  return found->second;
}

// Without the full-size photos in the emulator, which takes minutes for each.
std::vector<Case> small_cases() {
  std::vector<Case> found = cases();
  if (gpu_is_emulated()) std::erase_if(found, [](const Case& c) { return c.folder.find(options().golden) != 0; });
  return found;
}

void compare(const std::string& array, std::vector<float> Results::*stage, double limit,
             double (*difference)(const std::vector<float>&, const std::vector<float>&) = largest_difference) {
  double worst = 0;
  std::string worst_case = "none";
  for (const Case& c : small_cases()) {
    if (!c.has(array)) continue;
    const double d = difference(results_of(c).*stage, c.golden(array));
    if (d > worst || worst_case == "none") worst = d, worst_case = c.name;
  }
  check::note(array + ": largest difference " + number(worst) + " (" + worst_case + "), limit " + number(limit));
  CHECK(worst_case != "none");
  CHECK_BELOW(worst, limit);
}

}  // namespace

TEST("CUDA: pixels are within 1e-6 of the golden pixels") { compare("pixels", &Results::pixels, 1e-6); }
TEST("CUDA: features are within 1e-4 of the golden features") { compare("features", &Results::features, 1e-4); }
TEST("CUDA: the mean attention is within 5e-6 of the golden mean attention") { compare("mean_attention", &Results::mean_attention, 5e-6); }
TEST("CUDA: logits are within a relative 5e-5 of the golden logits") { compare("logits", &Results::logits, 5e-5, largest_relative); }
TEST("CUDA: probabilities are within 5e-5 of the golden probabilities") { compare("probabilities", &Results::probabilities, 5e-5); }
TEST("CUDA: CAMs are within 5e-5 of the golden CAMs") { compare("cams", &Results::cams, 5e-5); }
TEST("CUDA: refined maps are within 5e-5 of the golden maps, given the golden box masks") { compare("refined", &Results::refined, 5e-5); }
TEST("CUDA: maps at the photo's size are within 1e-4 of the golden maps") { compare("refined_full", &Results::refined_full, 1e-4); }
TEST("CUDA: the confidence is within 1e-4 of the golden confidence") { compare("confidence", &Results::confidence, 1e-4); }

TEST("CUDA: box masks of the golden CAMs equal the golden box masks in every cell") {
  for (const Case& c : small_cases())
    if (results_of(c).boxes != results_of(c).golden_boxes) check::fail(__FILE__, __LINE__, c.name + ": box masks differ");
}

TEST("CUDA: at most 0.1 % of a mask's pixels differ from the golden mask") {
  double worst = 0;
  for (const Case& c : small_cases()) worst = std::max(worst, differing_percent(results_of(c).mask, c.golden("mask")));
  check::note("largest share " + number(worst) + " %");
  CHECK(worst <= 0.1);
}

TEST("CUDA: in bfloat16 the mean difference of every stage from the golden data is below the CPU's limit") {
  for (const RoundedStage& stage : kRoundedStages) {
    GoldenDifferences all;
    for (const Case& c : small_cases())
      if (c.has(stage.array)) all.add(results_of(c, Precision::kBFloat16).*stage.values, c.golden(stage.array));
    check::note(std::string(stage.array) + ": mean difference " + number(all.mean) + ", largest " + number(all.largest));
    CHECK(all.mean > 0);
    CHECK_BELOW(all.mean, stage.bfloat16);
  }
}

}  // namespace clip_es::cuda_golden_test
