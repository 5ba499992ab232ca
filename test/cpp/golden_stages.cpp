#include "golden_stages.h"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include "cam/box_mask.h"
#include "clip/preprocess.h"
#include "device/cpu/device.h"
#include "device/cpu/memory.h"
#include "support.h"

using namespace clip_es;

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
  const GradCamOfPhoto gradcam{last, words.label_texts(), maps(r.cams), r.logits, r.probabilities};
  device.softmax_gradcam(context, {&gradcam, 1});
  std::vector<float> golden_cams = c.golden("cams");
  const std::vector<float> golden_boxes = c.golden("box_masks");
  r.golden_boxes.assign(golden_boxes.begin(), golden_boxes.end());
  r.boxes.resize(map_size);
  const BoxesOfPhoto own_boxes{maps(golden_cams), {}, span_of(r.boxes)};
  device.box_mask(context, {&own_boxes, 1});
  r.refined.resize(map_size);
  const RefinementOfPhoto refinement{span_of(r.mean_attention), maps(r.cams), span_of(r.golden_boxes), {}, maps(r.refined)};
  device.refine_cams(context, {&refinement, 1});
  std::vector<float> enlarged = r.refined;
  r.refined_full.resize(labels * pixels);
  r.confidence.resize(pixels);
  r.mask.resize(pixels);
  const MaskOfPhoto mask{
      maps(enlarged), words.value, {photo.width, photo.height}, {}, {r.mask.data(), r.confidence.data(), r.refined_full.data()}};
  device.make_pseudo_mask(context, {&mask, 1});
}

Results run_stages(HostContext& host, const Case& c, Precision precision) {
  auto& [model, device] = loaded(c.model_path, precision);
  DeviceContext context{host.pool, device.arena()};
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  Results r;
  r.grid = patch_grid({photo.width, photo.height}, model.shape.patch, 0);
  const int64_t patches = r.grid.patches(), n = r.grid.tokens();
  std::vector<float> patch_rows(patches * model.patch_values());
  const Image image{photo.rgb.data(), photo.width, photo.height, 3};
  device.preprocess(context, {&image, 1}, 0, span_of(patch_rows));
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

}  // namespace

const Results& results_of(const Case& c, int threads, Precision precision) {
  static std::map<std::tuple<std::string, int, Precision>, Results> all;
  const auto [found, is_new] = all.try_emplace({c.name, threads, precision});
  if (is_new) found->second = run_stages(context_with(threads), c, precision);
  return found->second;
}

bool has_golden_box(const Case& c, int threads, int64_t map) {
  const Results& r = results_of(c, threads);
  const int64_t patches = r.grid.patches();
  std::vector<uint8_t> own(patches);
  std::vector<float> cam(r.cams.begin() + map * patches, r.cams.begin() + (map + 1) * patches);
  box_mask(context_with(threads), maps_of(cam, r.grid), {}, own);
  return std::ranges::equal(own, std::span(r.golden_boxes).subspan(map * patches, patches));
}
