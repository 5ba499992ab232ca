// The interface of a device, on which the stages run: see stages.inc. Every device computes the same results, in its own memory and with
// its own weights.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "cam/similarity_settings.h"
#include "cam/windows.h"
#include "clip/model_source.h"
#include "core/context.h"
#include "core/precision.h"
#include "device/photos.h"

namespace clip_es {

// What a stage may use: the host's threads, the device's scratch memory, and the cancellation flag.
struct DeviceContext {
  ThreadPool& pool;
  DeviceArena& arena;
  const std::atomic<bool>* cancelled = nullptr;

  // Throws Cancelled once *cancelled is true.
  void checkpoint() const {
    if (cancelled && cancelled->load(std::memory_order_relaxed)) throw Cancelled{};
  }
};

// The weights of a model in the memory of a device. They never change, so several devices of the same name may use them.
class DeviceWeights {
 public:
  virtual ~DeviceWeights() = default;
  virtual size_t bytes() const = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // "cpu", "cuda:0"

  // Makes this device's weights, layer by layer. Call either load() or share() once, before any stage.
  virtual void load(HostContext&, const ModelSource&, Precision) = 0;
  // Uses the weights of another device of the same name.
  virtual void share(std::shared_ptr<const Model>, std::shared_ptr<const DeviceWeights>) = 0;
  virtual std::shared_ptr<const DeviceWeights> weights() const = 0;
  // Returns a queue of work on the same device for another thread. It shares the weights and has its own workspace. host: as in
  // open_device().
  virtual std::unique_ptr<Device> clone(Arena& host) const = 0;

  // How many photos the stages that find words take at once. If one photo of a stage fails, the stage fails for all of them.
  virtual size_t photos_at_once() const = 0;

  // How this device stores the activations of the last block. Call it after load() or share().
  virtual LastBlockShape last_block_shape() const = 0;

  virtual DeviceArena& arena() = 0;
  virtual MemorySource memory() const = 0;  // for memory that outlives a call

  // The bytes of the workspace outside of the host arena, and how often it was allocated.
  virtual size_t workspace_bytes() const = 0;
  virtual uint64_t allocations() const = 0;

  // Call stages between begin() and finish(). finish() waits until they are done. Call it even if one of them has thrown. It throws Error
  // kDeviceUnavailable if the device has failed.
  virtual void begin() = 0;
  virtual void finish() = 0;
  // Waits until the stages called so far are done and the host's memory holds their results. finish() does so, too.
  virtual void wait() = 0;

  // Timers measure the stages that are called between start_timer() and stop_timer(). They are numbered from 0 after each begin().
  // elapsed() returns seconds; call it after finish() and before the next begin(). finish() reports an error of stop_timer().
  virtual size_t start_timer() = 0;
  virtual void stop_timer(size_t timer) noexcept = 0;
  virtual double elapsed(size_t timer) const = 0;

#define CLIP_ES_STAGE = 0
#include "device/stages.inc"
#undef CLIP_ES_STAGE
};

// name: "cpu", "cuda" (the first GPU) or "cuda:N". host: the arena of the host's memory, which is also the CPU's workspace.
// Throws Error kDeviceUnavailable with the reason and the remedy.
std::unique_ptr<Device> open_device(const std::string& name, Arena& host);

}  // namespace clip_es
