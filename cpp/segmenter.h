// The engine: a photo and encoded words in, a mask out. This file and its source are the only ones that know the order of the stages.
#pragma once
#include <atomic>
#include <cstdint>
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
#include "device.h"
#include "mask/dense_crf.h"
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

// What a photo's tokens say before any word is asked for. Everything but the photo lies in the device's memory.
struct EncodedImage {
  int64_t width, height;  // of the photo
  Grid grid;
  LastBlock last_block;
  std::span<float> mean_attention;    // (patches, patches)
  std::shared_ptr<std::byte> memory;  // holds the spans
  size_t bytes = 0;
  std::vector<uint8_t> rgb;  // the photo, for a CRF, where it outlives the caller's
};

class Segmenter {
 public:
  // Opens the device and reads the archive; LibTorch must be loaded (torch::load_library). Throws Error kDeviceUnavailable, kModelRead,
  // kModelFormat, kOutOfMemory, or Cancelled. A device that is given is taken instead of the one that the settings name.
  Segmenter(const std::string& archive, const SegmenterSettings&, const std::atomic<bool>* cancelled = nullptr,
            std::unique_ptr<Device> device = nullptr);

  const Model& model() const { return model_; }
  std::string device() const { return device_->name(); }
  size_t bytes() const;          // of weights and workspace
  uint64_t allocations() const;  // of workspace, ever: steady state adds none

  // One call at a time; each throws Cancelled at the next checkpoint once *cancelled is true.
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

 private:
  Context host(const std::atomic<bool>* cancelled) { return {pool_, arena_, cancelled}; }
  Context context(const std::atomic<bool>* cancelled) { return {pool_, device_->arena(), cancelled}; }
  void encode_into(Context, const Image&, EncodedImage&, StageTimes&);
  void segment(Context, const Image&, const EncodedImage&, const LabelTexts&, std::span<const uint8_t> value, const SegmentSettings&,
               const SegmentOutputs&, StageTimes&);

  SegmenterSettings settings_;
  ThreadPool pool_;
  Arena arena_;  // of the machine's memory
  std::unique_ptr<Device> device_;
  Model model_;
  EncodedImage current_{};  // of segment(Image): its memory is reused, and grown only
};

}  // namespace clip_es
