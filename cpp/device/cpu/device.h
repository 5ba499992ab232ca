// The stages on the CPU: the functions with the same names in clip/, cam/ and mask/.
#pragma once
#include <chrono>
#include <memory>
#include <vector>

#include "device/cpu/weights.h"
#include "device/device.h"

namespace clip_es::cpu {

class CpuDevice : public Device {
 public:
  explicit CpuDevice(Arena& host) : host_(host), arena_(host) {}

  std::string name() const override { return "cpu"; }
  void load(HostContext&, const ModelSource&, Precision) override;
  void share(std::shared_ptr<const Model>, std::shared_ptr<const DeviceWeights>) override;
  std::shared_ptr<const DeviceWeights> weights() const override { return weights_; }
  std::unique_ptr<Device> clone(Arena& host) const override;
  size_t photos_at_once() const override { return 1; }  // several photos would not be faster
  LastBlockShape last_block_shape() const override { return {model_->image.width, model_->last_hidden, model_->image.heads}; }
  DeviceArena& arena() override { return arena_; }
  MemorySource memory() const override { return host_memory(); }
  size_t workspace_bytes() const override { return 0; }
  uint64_t allocations() const override { return 0; }
  void begin() override { timers_.clear(); }
  void finish() override {}
  void wait() override {}
  size_t start_timer() override;
  void stop_timer(size_t timer) noexcept override { timers_[timer].second = Clock::now(); }
  double elapsed(size_t timer) const override;

#define CLIP_ES_STAGE override
#include "device/stages.inc"
#undef CLIP_ES_STAGE

 private:
  using Clock = std::chrono::steady_clock;

  HostContext on_host(const DeviceContext& context) const { return {context.pool, host_, context.cancelled}; }

  Arena& host_;
  DeviceArena arena_;  // takes from host_
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Weights> weights_;
  std::vector<std::pair<Clock::time_point, Clock::time_point>> timers_;  // start and end
};

}  // namespace clip_es::cpu
