// The confidence-guided loss (CLIP-ES, section 3.4): cross-entropy over the pixels whose pseudo label is sure.
#pragma once
#include <torch/torch.h>

#include "job.h"

namespace clip_es::train {

// What each pixel counts, in [0, 1]. Pixels with the label kIgnored count nothing. With the confidence c and the threshold mu:
//   off   1
//   hard  1 if c >= mu, else 0: the loss of the paper
//   soft  (2c - 1) / (2mu - 1), limited to [0, 1]: nothing at c = 0.5, where two labels are equally likely, and fully from mu on. Not in
//         the paper.
torch::Tensor pixel_weights(const torch::Tensor& labels, const torch::Tensor& confidence, ConfidenceMode mode, double threshold);

// The weighted mean of the cross-entropy over all pixels of the batch; 0 if no pixel counts. With `balanced`, the background and all
// other classes have their own means, and the loss is the mean of both.
//   logits (batch, classes, h, w). labels and confidence (batch, H, W) are reduced to h x w, each pixel to the nearest one.
torch::Tensor confidence_guided_loss(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& confidence,
                                     const TrainingSettings& settings);

}  // namespace clip_es::train
