// Every stage of the CUDA device on the golden photos: on the GPU that --device names, else in the emulator. The limits are the float32
// CUDA row of the accuracy contract.
#include <algorithm>
#include <map>

#include "check.h"
#include "cuda_support.h"
#include "golden.h"
#include "options.h"
#include "segmenter.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;

namespace {

// A model and a device that holds its weights.
struct Loaded {
  Model model;
  cuda::CudaDevice device;

  Loaded(const std::string& path, torch::Precision precision)
      : model(read_model(Archive(path), torch::Precision::kFloat32)), device(test_gpu()) {
    device.load(test_context(), model, precision);
  }
};

Loaded& loaded(const std::string& path, torch::Precision precision) {
  static std::map<std::pair<std::string, torch::Precision>, std::unique_ptr<Loaded>> all;
  load_libtorch();
  auto& entry = all[{path, precision}];
  if (!entry) entry = std::make_unique<Loaded>(path, precision);
  return *entry;
}

void run_words(cuda::CudaDevice& device, HostContext& c, const Case& photo_case, const LastBlock& last, const float* mean_attention,
               const npy::Photo& photo, Results& r) {
  const Words words(photo_case);
  const int64_t patches = r.grid.patches(), labels = words.labels(), texts = words.texts.shape[0];
  const GpuArray<float> logits(texts), probabilities(texts), cams(labels * patches), refined(labels * patches);
  device.softmax_gradcam(c, last, words.label_texts(), logits.data(), probabilities.data(), cams.data());
  r.logits = logits.host();
  r.probabilities = probabilities.host();
  r.cams = cams.host();
  const std::vector<float> golden_boxes = photo_case.golden("box_masks");
  r.golden_boxes.assign(golden_boxes.begin(), golden_boxes.end());
  const GpuArray<float> golden_cams(photo_case.golden("cams"));
  const GpuArray<uint8_t> boxes(labels * patches), golden_box_masks(r.golden_boxes);
  device.box_mask(c, golden_cams.data(), labels, r.grid, {}, boxes.data());
  r.boxes = boxes.host();
  device.refine_cams(c, mean_attention, patches, cams.data(), golden_box_masks.data(), labels, {}, refined.data());
  r.refined = refined.host();
  const auto pixels = static_cast<size_t>(photo.width * photo.height);
  r.refined_full.resize(static_cast<size_t>(labels) * pixels);
  r.confidence.resize(pixels);
  r.mask.resize(pixels);
  device.make_pseudo_mask(c, refined.data(), r.grid, words.value, photo.width, photo.height, {},
                          {r.mask.data(), r.confidence.data(), r.refined_full.data()});
}

Results run_stages(const Case& photo_case, torch::Precision precision) {
  Loaded& on = loaded(photo_case.model_path, precision);
  cuda::CudaDevice& device = on.device;
  HostContext c{test_context().pool, device.arena()};
  const npy::Photo photo = npy::read_ppm(photo_case.folder + "/photo.ppm");
  const int64_t patch = on.model.shape.patch, width = on.model.shape.width;
  Results r;
  r.grid = patch_grid(photo.width, photo.height, patch, 0);
  const int64_t patches = r.grid.patches(), n = patches + 1;
  const GpuArray<float> patch_rows(patches * 3 * patch * patch), tokens(n * width), mean_attention(patches * patches),
      memory(static_cast<int64_t>(LastBlock::floats(on.model, n)));
  device.enter();
  device.preprocess(c, {photo.rgb.data(), photo.width, photo.height, 3}, 0, patch_rows.data());
  r.pixels = to_pixels(patch_rows.host(), r.grid, patch);
  float* const means[] = {mean_attention.data()};
  device.encode_images(c, {&r.grid, 1}, patch_rows.data(), tokens.data(), means);
  LastBlock last{.n = n};
  bind(on.model, {&last, 1}, {memory.data(), LastBlock::floats(on.model, n)});
  device.run_last_block(c, tokens.data(), {&last, 1}, means);
  r.features = tokens.host();
  r.mean_attention = mean_attention.host();
  run_words(device, c, photo_case, last, mean_attention.data(), photo, r);
  device.finish();
  return r;
}

const Results& results_of(const Case& c, torch::Precision precision = torch::Precision::kFloat32) {
  static std::map<std::pair<std::string, torch::Precision>, Results> all;
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
