// Where the network runs, and how LibTorch uses it.
#pragma once
#include <torch/torch.h>

#include <string>

namespace clip_es::train {

// "cpu", "cuda" or "cuda:N". Also sets the number of threads, and asks LibTorch for the same results in every run. Throws Error
// kDeviceUnavailable.
torch::Device open_device(const std::string& name, int threads);

}  // namespace clip_es::train
