// What a trained network says about a photo.
#pragma once
#include "network.h"
#include "pictures.h"

namespace clip_es::train {

// (1, 3, height, width), normalised, on the device.
torch::Tensor to_input(const Photo& photo, const Normalisation& normalisation, const torch::Device& device);

// The probabilities of the classes, (classes, height, width), on the device: the mean over the scales, each with its mirror image if
// `flip`.
torch::Tensor probabilities(Network& network, const torch::Tensor& input, const std::vector<double>& scales, bool flip);

}  // namespace clip_es::train
