// How 8-bit pixels become the input of a network. It depends on the initial weights, so it is stored with the trained ones.
#pragma once
#include <string>

namespace clip_es::train {

// The two families of ImageNet weights. They differ in the pixels that they expect, and in the layer of a bottleneck that has the stride.
enum class WeightStyle {
  kTorchvision,  // RGB in [0, 1], normalised with mean and deviation; the stride is in the 3 x 3 convolution
  kCaffe,        // BGR in [0, 255], minus the mean; the stride is in the first 1 x 1 convolution
};

struct Normalisation {
  int channels[3];           // of RGB, in the order of the network's input
  float mean[3], factor[3];  // input = (value - mean) * factor
};

inline Normalisation normalisation_of(WeightStyle style) {
  if (style == WeightStyle::kCaffe) return {{2, 1, 0}, {104.008f, 116.669f, 122.675f}, {1, 1, 1}};
  return {{0, 1, 2}, {255 * 0.485f, 255 * 0.456f, 255 * 0.406f}, {1 / (255 * 0.229f), 1 / (255 * 0.224f), 1 / (255 * 0.225f)}};
}

inline std::string to_string(WeightStyle style) { return style == WeightStyle::kCaffe ? "caffe" : "torchvision"; }

}  // namespace clip_es::train
