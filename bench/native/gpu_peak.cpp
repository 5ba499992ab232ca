#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "device/cuda/gpu.h"
#include "peak.h"

using namespace clip_es;

namespace {

// Seconds of one call of `body`, the best of some rounds.
template <class Body>
double best_time(const cuda::Gpu& gpu, Body body) {
  constexpr int kCalls = 100, kRounds = 5;
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round <= kRounds; ++round) {  // the first warms up
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) body();
    gpu.wait();
    if (round > 0) best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kCalls);
  }
  return best;
}

}  // namespace

Peak gpu_peak(const std::string& device, Precision precision, int64_t tokens, int64_t width) {
  constexpr size_t kCopied = size_t{256} << 20;  // more than any cache holds
  const size_t colon = device.find(':');
  const auto gpu = cuda::Gpu::open(colon == std::string::npos ? 0 : std::stoi(device.substr(colon + 1)));
  const torch::Backend::Guard guard(gpu->torch(), gpu->stream());
  const torch::Dtype dtype = precision == Precision::kFloat32 ? torch::Dtype::kFloat32 : torch::Dtype::kBFloat16;
  Arena arena(cuda::Gpu::memory(gpu));
  const auto zeros = [&](int64_t count) {
    float* memory = arena.take<float>(static_cast<size_t>(count)).data();
    gpu->clear(memory, count);
    return memory;
  };
  float *x = zeros(tokens * 4 * width), *weight = zeros(4 * width * width), *bias = zeros(4 * width), *y = zeros(tokens * 4 * width);
  double work = 0, time = 0;
  for (const auto& [inputs, outputs] : {std::pair{width, 3 * width}, {width, width}, {width, 4 * width}, {4 * width, width}}) {
    work += 2.0 * static_cast<double>(tokens * inputs * outputs);
    time += best_time(*gpu, [&, inputs = inputs, outputs = outputs] {  // clang 14 captures no structured bindings
      gpu->torch().mm(torch::dense(x, dtype, tokens, inputs), torch::transposed(torch::dense(weight, dtype, outputs, inputs)),
                      torch::dense(y, dtype, tokens, outputs), bias);
    });
  }
  const auto from = arena.take<std::byte>(kCopied), to = arena.take<std::byte>(kCopied);
  const double copy = best_time(*gpu, [&] { gpu->copy(from.data(), kCopied, to.data()); });
  return {work / time, 2.0 * static_cast<double>(kCopied) / copy};
}
