// The engine: a photo and encoded words in, a mask out. This file and its source are the only ones that know the order of the stages.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/softmax_gradcam.h"
#include "clip/model.h"
#include "clip/preprocess.h"
#include "crf/dense_crf.h"
#include "device/device.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

struct SegmenterSettings {
  torch::Precision precision = torch::Precision::kFloat32;
  int threads = 1;
  int64_t max_side = 1024;     // see patch_grid(); 0 is no limit
  std::string device = "cpu";  // see open_device()
};

struct SegmentSettings {
  bool refine = true;
  BoxSettings box;
  AffinitySettings affinity;
  MaskSettings mask;
  std::optional<CrfSettings> crf;  // none: the maps decide alone
};

// Seconds of each stage.
struct StageTimes {
  double preprocess = 0, encode = 0, gradcam = 0, refine = 0, mask = 0, crf = 0;
};

struct SegmentOutputs {
  MaskOutputs image;
  float* scores = nullptr;  // (K): probabilities of the labels
};

// Memory of a device that is reused, and grown only.
struct DeviceMemory {
  std::shared_ptr<std::byte> data;
  size_t bytes = 0;
};

// What a photo's tokens say before any word is asked for. Everything but the photo lies in the device's memory.
struct EncodedImage {
  int64_t width, height;  // of the photo
  Grid grid;
  LastBlock last_block;
  float* mean_attention;     // (patches, patches)
  DeviceMemory memory;       // of an image that is kept: holds all that
  std::vector<uint8_t> rgb;  // likewise the photo, for a CRF
};

// One photo of a batch. A batch's photos share matrix products, so that their results may differ in the last digits from those of the
// same photos alone.
struct Request {
  Image image;
  LabelTexts texts;
  std::span<const uint8_t> value;  // (K): what the mask holds for each label
  SegmentSettings settings;
  SegmentOutputs outputs;
  const std::atomic<bool>* cancelled = nullptr;
  // Results.
  StageTimes times;            // of what photos share, an equal part
  std::exception_ptr failure;  // why there is none
};

// One call at a time; beside() is for calls from another thread at the same time.
class Segmenter {
 public:
  // Opens the device and reads the archive; LibTorch must be loaded (torch::load_library). Throws Error kDeviceUnavailable, kModelRead,
  // kModelFormat, kOutOfMemory, or Cancelled. A device that is given is taken instead of the one that the settings name.
  Segmenter(const std::string& archive, const SegmenterSettings&, const std::atomic<bool>* cancelled = nullptr,
            std::unique_ptr<Device> device = nullptr);

  // On the same model and device, with workspace, a queue and `threads` of its own.
  std::unique_ptr<Segmenter> beside(int threads) const;
  // Between calls: works with so many of its threads, to leave cores to segmenters beside it.
  void use_threads(int threads) { pool_.set_threads(threads); }

  const Model& model() const { return *model_; }
  std::string device() const { return device_->name(); }
  size_t bytes() const;          // of weights, which those beside share, and workspace
  uint64_t allocations() const;  // of workspace, ever: steady state adds none

  // Each throws Cancelled at the next checkpoint once *cancelled is true.
  // tokens (T, context) -> embeddings (T, embedding), unit rows.
  void encode_text(std::span<const int32_t> tokens, std::span<float> embeddings, const std::atomic<bool>* cancelled = nullptr);
  std::shared_ptr<EncodedImage> encode(const Image&, StageTimes&, const std::atomic<bool>* cancelled = nullptr);
  // image (embedding) and, unless null, patches (grid.patches(), embedding): unit rows in the space of texts.
  void embeddings(const EncodedImage&, float* image, float* patches, const std::atomic<bool>* cancelled = nullptr);
  // value (K): what the mask holds for each label.
  void segment(const EncodedImage&, const LabelTexts&, std::span<const uint8_t> value, const SegmentSettings&, const SegmentOutputs&,
               StageTimes&, const std::atomic<bool>* cancelled = nullptr);
  void segment(const Image&, const LabelTexts&, std::span<const uint8_t> value, const SegmentSettings&, const SegmentOutputs&, StageTimes&,
               const std::atomic<bool>* cancelled = nullptr);
  // A batch: failures are told in the requests, not thrown. cancelled: of all photos. What is too large for the memory together is done
  // photo by photo.
  void segment(std::span<Request>, const std::atomic<bool>* cancelled = nullptr);

 private:
  Segmenter(const Segmenter& first, int threads);
  HostContext host(const std::atomic<bool>* cancelled) { return {pool_, arena_, cancelled}; }
  HostContext context(const std::atomic<bool>* cancelled) { return {pool_, device_->arena(), cancelled}; }
  void segment_together(std::span<Request>, const std::atomic<bool>* cancelled);
  void encode_into(HostContext, std::span<const Image>, std::span<EncodedImage>, DeviceMemory&, StageTimes&);
  void segment_encoded(HostContext, const EncodedImage&, Request&, std::span<float> scores);

  SegmenterSettings settings_;
  ThreadPool pool_;
  Arena arena_;  // of the machine's memory
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::vector<EncodedImage> current_;  // of segment()
  std::vector<Image> photos_;
  DeviceMemory memory_;
};

}  // namespace clip_es
