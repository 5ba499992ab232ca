// Measures the rates of a GPU: see peak.h.
#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "device/cuda/gpu.h"
#include "peak.h"

using namespace clip_es;

namespace {

// The seconds of one call of `body`, which queues work on the stream of `gpu`. A single call is too short for the host's clock, so each
// round makes many calls. The fastest round counts.
template <class Body>
double best_time(const cuda::Gpu& gpu, Body body) {
  constexpr int kCalls = 100, kRounds = 5;
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round <= kRounds; ++round) {  // round 0 warms up
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) body();
    gpu.wait();
    if (round > 0) best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kCalls);
  }
  return best;
}

// Normally distributed values of `dtype` in device memory that is taken from `arena`. Zeros would give too high a rate, because the GPU
// needs less power for them and keeps a higher clock.
void* random_values(const cuda::Gpu& gpu, Arena& arena, torch::Dtype dtype, int64_t count) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(engine);
  if (dtype == torch::Dtype::kFloat32) {
    const std::span<float> memory = arena.take<float>(values.size());
    gpu.copy_in(std::span<const float>(values), memory.data());
    return memory.data();
  }
  std::vector<uint16_t> halves;  // truncated to bfloat16
  halves.reserve(values.size());
  for (const float value : values) halves.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
  const std::span<uint16_t> memory = arena.take<uint16_t>(halves.size());
  gpu.copy_in(std::span<const uint16_t>(halves), memory.data());
  return memory.data();
}

}  // namespace

Peak gpu_peak(const std::string& device, Precision precision, int64_t tokens, int64_t width) {
  constexpr size_t kCopied = size_t{256} << 20;  // more than any cache holds
  const size_t colon = device.find(':');
  const auto gpu = cuda::Gpu::open(colon == std::string::npos ? 0 : std::stoi(device.substr(colon + 1)));
  const torch::Backend::Guard guard(gpu->torch(), gpu->stream());
  const torch::Dtype dtype = precision == Precision::kFloat32 ? torch::Dtype::kFloat32 : torch::Dtype::kBFloat16;
  Arena arena(cuda::Gpu::memory(gpu));
  const auto random = [&](int64_t count) { return random_values(*gpu, arena, dtype, count); };
  void *x = random(tokens * 4 * width), *weight = random(4 * width * width), *bias = random(4 * width);
  void* y = arena.take<float>(tokens * 4 * width).data();
  double operations = 0, seconds = 0;
  for (const auto& sizes : {std::pair{width, 3 * width}, {width, width}, {width, 4 * width}, {4 * width, width}}) {
    const int64_t inputs = sizes.first, outputs = sizes.second;
    operations += 2.0 * static_cast<double>(tokens * inputs * outputs);
    seconds += best_time(*gpu, [&] {
      gpu->torch().mm(torch::dense(x, dtype, tokens, inputs), torch::transposed(torch::dense(weight, dtype, outputs, inputs)),
                      torch::dense(y, dtype, tokens, outputs), bias);
    });
  }
  const auto from = arena.take<std::byte>(kCopied), to = arena.take<std::byte>(kCopied);
  const double copy_seconds = best_time(*gpu, [&] { gpu->copy(from.data(), kCopied, to.data()); });
  return {operations / seconds, 2.0 * static_cast<double>(kCopied) / copy_seconds};  // each byte is read and written
}
