// Batch norm with the statistics of the initial weights, as DeepLab trains: batches are too small to measure their own.
#pragma once
#include <torch/torch.h>

namespace clip_es::train {

// All four vectors are buffers, so they are saved but not trained. Their names are those of PyTorch's batch norm.
class FrozenBatchNormImpl : public torch::nn::Module {
 public:
  explicit FrozenBatchNormImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor weight_, bias_, mean_, variance_;
};
TORCH_MODULE(FrozenBatchNorm);

}  // namespace clip_es::train
