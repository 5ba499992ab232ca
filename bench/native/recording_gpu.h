// A GPU that computes nothing: its functions and LibTorch's products record what is queued and what it costs. It needs neither a GPU nor
// libclip_es_cuda.so nor LibTorch. Device memory is addresses that nobody may read; results on the host are 0.
#pragma once
#include <memory>
#include <vector>

#include "device/cuda/gpu.h"
#include "launch_costs.h"

namespace estimate {

// One call of a kernel, a product, a copy or a clear.
struct Launch {
  const char* name;
  Cost cost;
};

std::shared_ptr<clip_es::cuda::Gpu> recording_gpu();

// What was queued since the last call, on all recording GPUs. They must all be used on one thread.
std::vector<Launch> take_launches();

}  // namespace estimate
