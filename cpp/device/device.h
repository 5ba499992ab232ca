// Where the stages run. segmenter.cpp calls them in order. Every device computes the same, in its own memory and with its own weights.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/label_texts.h"
#include "cam/last_block.h"
#include "clip/model_source.h"
#include "core/context.h"
#include "core/image.h"
#include "core/maps.h"
#include "core/precision.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

// What a stage works with: the host's threads, the device's scratch memory, and whether to stop.
struct DeviceContext {
  ThreadPool& pool;
  DeviceArena& arena;
  const std::atomic<bool>* cancelled = nullptr;

  // Throws Cancelled once *cancelled is true.
  void checkpoint() const {
    if (cancelled && cancelled->load(std::memory_order_relaxed)) throw Cancelled{};
  }
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // "cpu", "cuda:0"

  // Makes this device's weights, layer by layer. Called once, before any stage.
  virtual void load(HostContext&, const ModelSource&, Precision) = 0;
  // Another queue of work on the same device, for another thread: it shares the weights and has its own workspace. host: as in
  // open_device().
  virtual std::unique_ptr<Device> clone(Arena& host) const = 0;

  virtual DeviceArena& arena() = 0;
  virtual MemorySource memory() const = 0;  // for memory that outlives a call

  // Bytes of weights, and of the workspace that is not the host arena; allocations of that workspace since the start.
  virtual size_t weight_bytes() const = 0;
  virtual size_t workspace_bytes() const = 0;
  virtual uint64_t allocations() const = 0;

  // Stages may be called between begin() and finish(). finish() waits for them; it is called even if one of them has thrown. It throws
  // Error kDeviceUnavailable when the device has failed.
  virtual void begin() = 0;
  virtual void finish() = 0;
  // Waits until the stages called so far are done and the host's memory holds their results. finish() does so, too.
  virtual void wait() = 0;

  // Measure what is called between start_timer() and stop_timer(). Timers are numbered from 0 after each begin(). elapsed() is in
  // seconds and may be asked for from finish() to the next begin(). An error in stop_timer() is reported by finish().
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
