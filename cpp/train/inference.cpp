#include "inference.h"

#include <cmath>

namespace clip_es::train {
namespace {

using torch::Tensor;

Tensor resize(const Tensor& x, int64_t height, int64_t width) {
  if (x.size(2) == height && x.size(3) == width) return x;
  namespace F = torch::nn::functional;
  const std::vector<int64_t> size{height, width};
  return F::interpolate(x, F::InterpolateFuncOptions().size(size).mode(torch::kBilinear).align_corners(false));
}

int64_t scaled(int64_t size, double scale) { return std::max<int64_t>(1, std::llround(static_cast<double>(size) * scale)); }

}  // namespace

Tensor to_input(const Photo& photo, const Normalisation& normalisation, const torch::Device& device) {
  Tensor input = torch::empty({1, 3, photo.height, photo.width});
  float* out = input.data_ptr<float>();
  const size_t pixels = static_cast<size_t>(photo.width) * static_cast<size_t>(photo.height);
  for (int c = 0; c < 3; ++c)
    for (size_t i = 0; i < pixels; ++i)
      *out++ = (static_cast<float>(photo.rgb[3 * i + static_cast<size_t>(normalisation.channels[c])]) - normalisation.mean[c]) *
               normalisation.factor[c];
  return input.to(device);
}

Tensor probabilities(Network& network, const Tensor& input, const std::vector<double>& scales, bool flip) {
  const torch::NoGradGuard no_gradient;
  const int64_t height = input.size(2), width = input.size(3);
  Tensor sum;
  for (const double scale : scales) {
    const Tensor x = resize(input, scaled(height, scale), scaled(width, scale));
    const auto predict = [&](const Tensor& images) { return resize(network.logits(images), height, width).softmax(1); };
    Tensor result = predict(x);
    if (flip) result = (result + predict(x.flip(3)).flip(3)) / 2;
    sum = sum.defined() ? sum + result : result;
  }
  return (sum / static_cast<double>(scales.size())).squeeze(0);
}

}  // namespace clip_es::train
