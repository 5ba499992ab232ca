// Where the stages run. segmenter.cpp calls them in order; every device does the same with memory of its own. Photos, texts, results and
// what is marked `host` are the machine's memory, all other pointers the device's: they come from arena() and are the stages' alone.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/softmax_gradcam.h"
#include "clip/model.h"
#include "clip/preprocess.h"
#include "core/context.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // "cpu", "cuda:0"
  virtual Arena& arena() = 0;
  virtual MemorySource memory() const = 0;  // of what outlives a call
  virtual size_t bytes() const = 0;         // of weights that it holds itself

  // The precision that weights are to be read in: a device that converts them itself wants them as they are.
  virtual Precision reads(Precision) const = 0;
  // Called once, before any stage. The device may take weights away that it alone needs; the model outlives it.
  virtual void load(HostContext& host, Model&, Precision) = 0;
  // Another queue of work on the same device, with the same weights and memory of its own, for another thread. host: as in open_device().
  virtual std::unique_ptr<Device> beside(Arena& host) const = 0;

  // Between enter() and finish() work may be queued; finish() waits for it, and is called however the work ends.
  virtual void enter() = 0;
  virtual void finish() = 0;
  // Waits until what was queued is done and `host` memory holds its results; finish() does so, too.
  virtual void wait() = 0;
  // Adds the seconds of what comes until stop() to `seconds`, at the latest in finish().
  virtual void start(double& seconds) = 0;
  virtual void stop() = 0;

  // The stages: see the headers of the free functions of the same names. The HostContext's arena is this device's.
  virtual void preprocess(HostContext&, const Image&, int64_t max_side, float* patches) = 0;
  virtual void encode_images(HostContext&, std::span<const Grid>, const float* patches, float* tokens,
                             std::span<float* const> mean_attention) = 0;
  virtual void run_last_block(HostContext&, const float* tokens, std::span<LastBlock>, std::span<float* const> mean_attention) = 0;
  virtual void softmax_gradcam(HostContext&, const LastBlock&, const LabelTexts&, float* logits, float* probabilities, float* cams) = 0;
  virtual void box_mask(HostContext&, const float* cams, int64_t labels, const Grid&, const BoxSettings&, uint8_t* boxes) = 0;
  virtual void refine_cams(HostContext&, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes, int64_t labels,
                           const AffinitySettings&, float* refined) = 0;
  virtual void make_pseudo_mask(HostContext&, float* maps, const Grid&, std::span<const uint8_t> value, int64_t width, int64_t height,
                                const MaskSettings&, const MaskOutputs& host) = 0;
  virtual void score_labels(HostContext&, float* maps, const Grid&, int64_t labels, int64_t width, int64_t height, const MaskSettings&,
                            float* host_scores) = 0;
  // host_image (embedding) and, unless null, host_patches (patches, embedding): unit rows in the space of texts. Waits.
  virtual void embeddings(HostContext&, const LastBlock&, float* host_image, float* host_patches) = 0;
  virtual void copy_out(const float* from, int64_t count, float* host) = 0;
};

// "cpu", "cuda" (the first GPU) or "cuda:N". host: the arena of the machine's memory, which the CPU works in, too. LibTorch is loaded.
// Throws Error kDeviceUnavailable with the reason and the remedy.
std::unique_ptr<Device> open_device(const std::string& name, Arena& host);

}  // namespace clip_es
