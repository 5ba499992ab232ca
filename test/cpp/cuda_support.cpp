#include "cuda_support.h"

#include <cstring>

#include "check.h"
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
