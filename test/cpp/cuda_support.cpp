#include "cuda_support.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "check.h"
#include "core/float16.h"
#include "emulator/control.h"
#include "options.h"
#include "support.h"

using namespace clip_es;

namespace {

int index_of(const std::string& device) { return device == "cuda" ? 0 : std::stoi(device.substr(device.find(':') + 1)); }

}  // namespace

bool gpu_is_emulated() { return options().device.empty(); }

std::shared_ptr<cuda::Gpu> test_gpu() {
  need_libtorch();  // the products are LibTorch's, also in the emulator
  static const std::shared_ptr<cuda::Gpu> gpu = [] {
    if (!gpu_is_emulated()) return cuda::Gpu::open(index_of(options().device));
    return std::make_shared<cuda::Gpu>(*cuda::clip_es_cuda_functions(cuda::kVersion), emulator::products(), 0);
  }();
  gpu->use();
  return gpu;
}

std::vector<uint16_t> to_bfloat16(const std::vector<float>& values) {
  std::vector<uint16_t> out(values.size());
  std::ranges::transform(values, out.begin(), [](float x) { return float_to_bfloat16(x); });
  return out;
}

std::vector<float> from_bfloat16(const std::vector<uint16_t>& values) {
  std::vector<float> out(values.size());
  std::ranges::transform(values, out.begin(), [](uint16_t x) { return bfloat16_to_float(x); });
  return out;
}

double error_beyond_rounding(const std::vector<uint16_t>& got, const std::vector<double>& want) {
  double worst = got.size() == want.size() ? 0 : INFINITY, largest = 1e-30;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    constexpr int kFractionBits = 7;
    const double half_step = want[i] == 0 ? 0 : std::ldexp(0.5, std::ilogb(want[i]) - kFractionBits);
    const double beyond = std::abs(bfloat16_to_float(got[i]) - want[i]) - half_step;
    worst = beyond <= worst ? worst : std::isnan(beyond) ? INFINITY : beyond;
    largest = std::max(largest, std::abs(want[i]));
  }
  return worst / largest;
}

void in_every_order(const std::function<void()>& body, const std::function<std::vector<float>()>& result) {
  using emulator::Order;
  std::vector<float> first;
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    if (order != Order::kForward && !gpu_is_emulated()) return;
    emulator::launch_order = order;
    body();
    emulator::launch_order = Order::kInTurn;
    const std::vector<float> values = result();
    if (order == Order::kForward) first = values;
    CHECK(values.size() == first.size());
    CHECK(std::memcmp(values.data(), first.data(), first.size() * sizeof(float)) == 0);
  }
}
