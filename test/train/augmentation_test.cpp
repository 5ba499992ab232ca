// Augmentation against PyTorch's interpolate(), at sizes that are not multiples of each other.
#include "augmentation.h"

#include <torch/torch.h>

#include <cmath>

#include "check.h"

using namespace clip_es::train;

namespace {

struct Scene {
  Photo photo;
  Mask mask;
  Confidence confidence;
};

Scene random_scene(int width, int height) {
  Random random(3, 5);
  const auto pixels = static_cast<size_t>(width * height);
  Scene scene{{width, height, std::vector<uint8_t>(3 * pixels)},
              {width, height, std::vector<uint8_t>(pixels)},
              {width, height, std::vector<float>(pixels)}};
  for (uint8_t& value : scene.photo.rgb) value = static_cast<uint8_t>(random.next());
  for (uint8_t& value : scene.mask.labels) value = static_cast<uint8_t>(random.next() % 5);
  for (float& value : scene.confidence.values) value = static_cast<float>(random.uniform());
  return scene;
}

struct Result {
  torch::Tensor image, labels, confidence;
};

Result run(const Scene& scene, const AugmentationSettings& settings, const Draws& draws, WeightStyle style) {
  const int64_t crop = settings.crop;
  Result result{torch::empty({3, crop, crop}), torch::empty({crop, crop}, torch::kUInt8), torch::empty({crop, crop})};
  const auto area = static_cast<size_t>(crop * crop);
  augment(
      scene.photo, scene.mask, scene.confidence, settings, draws, normalisation_of(style),
      {{result.image.data_ptr<float>(), 3 * area}, {result.labels.data_ptr<uint8_t>(), area}, {result.confidence.data_ptr<float>(), area}});
  return result;
}

// The same by whole-image operations of PyTorch.
Result expected(const Scene& scene, const AugmentationSettings& settings, const Draws& draws, WeightStyle style) {
  namespace F = torch::nn::functional;
  const double scale = settings.smallest_scale + draws.scale * (settings.largest_scale - settings.smallest_scale);
  const int64_t h = std::lround(scene.photo.height * scale), w = std::lround(scene.photo.width * scale), crop = settings.crop;
  const std::vector<int64_t> size{h, w};
  auto photo = torch::tensor(scene.photo.rgb, torch::kUInt8).view({1, scene.photo.height, scene.photo.width, 3}).permute({0, 3, 1, 2});
  photo = F::interpolate(photo.to(torch::kFloat32), F::InterpolateFuncOptions().size(size).mode(torch::kBilinear).align_corners(false));
  const auto nearest = [&](const torch::Tensor& map) {
    return at::_upsample_nearest_exact2d(map.view({1, 1, scene.photo.height, scene.photo.width}).to(torch::kFloat32), size)[0][0];
  };
  const Normalisation n = normalisation_of(style);
  std::vector<torch::Tensor> channels;
  for (int c = 0; c < 3; ++c) channels.push_back((photo[0][n.channels[c]] - n.mean[c]) * n.factor[c]);
  const auto place = [&](const torch::Tensor& map, double padding) {
    const int64_t top = static_cast<int64_t>(draws.top * static_cast<double>(std::max<int64_t>(h - crop, 0) + 1));
    const int64_t left = static_cast<int64_t>(draws.left * static_cast<double>(std::max<int64_t>(w - crop, 0) + 1));
    const auto window = map.narrow(-2, top, std::min(crop, h)).narrow(-1, left, std::min(crop, w));
    const auto padded = torch::constant_pad_nd(window, {0, crop - window.size(-1), 0, crop - window.size(-2)}, padding);
    return settings.flip && draws.flip < 0.5 ? padded.flip(-1) : padded;
  };
  return {place(torch::stack(channels), 0), place(nearest(torch::tensor(scene.mask.labels, torch::kUInt8)), 255).to(torch::kUInt8),
          place(nearest(torch::tensor(scene.confidence.values)), 0)};
}

}  // namespace

TEST("augmentation equals PyTorch's interpolate, crop, pad and flip for the same random numbers") {
  const Scene scene = random_scene(53, 37);
  Random random(1, 2);
  for (const int crop : {17, 40, 64})
    for (const WeightStyle style : {WeightStyle::kTorchvision, WeightStyle::kCaffe})
      for (int i = 0; i < 20; ++i) {
        const AugmentationSettings settings{crop, 0.5, 1.5, true};
        const Draws draws = draw(random);
        const Result ours = run(scene, settings, draws, style), theirs = expected(scene, settings, draws, style);
        CHECK_BELOW((ours.image - theirs.image).abs().max().item<double>(), style == WeightStyle::kCaffe ? 5e-4 : 1e-5);
        CHECK(torch::equal(ours.labels, theirs.labels));
        CHECK(torch::equal(ours.confidence, theirs.confidence));
      }
}

TEST("without a confidence map, every pixel of the photo is sure and the padding is not") {
  Scene scene = random_scene(20, 20);
  scene.confidence.values.clear();
  const Result result = run(scene, {32, 1, 1, false}, {0, 0, 0, 0.9}, WeightStyle::kTorchvision);
  CHECK(result.confidence.sum().item<double>() == 400);
  CHECK((result.labels == 255).sum().item<int64_t>() == 32 * 32 - 400);
}

TEST("random numbers depend on seed and stream only, and are spread evenly") {
  Random a(1, 2), b(1, 2), c(1, 3), d(2, 2);
  const double first = a.uniform();
  CHECK(first == b.uniform());
  CHECK(first != c.uniform());
  CHECK(first != d.uniform());
  double sum = 0;
  for (int i = 0; i < 10000; ++i) sum += a.uniform();
  CHECK_BELOW(std::abs(sum / 10000 - 0.5), 0.01);
}

TEST("an epoch contains every sample once, in an order of its own") {
  const auto first = shuffled(100, 4, 0), second = shuffled(100, 4, 1);
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (uint32_t i = 0; i < 100; ++i) CHECK(sorted[i] == i);
  CHECK(first != second);
  CHECK(first == shuffled(100, 4, 0));
}
