// The engine: a photo and encoded words in, a mask out. This file and its source are the only ones that know the order of the stages.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/softmax_gradcam.h"
#include "clip/model.h"
#include "clip/preprocess.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

struct SegmenterSettings {
  torch::Precision precision = torch::Precision::kFloat32;
  int threads = 1;
  int64_t max_side = 1024;  // see patch_grid(); 0 is no limit
};

struct SegmentSettings {
  bool refine = true;
  BoxSettings box;
  AffinitySettings affinity;
  MaskSettings mask;
};

// Seconds of each stage.
struct StageTimes {
  double preprocess = 0, encode = 0, gradcam = 0, refine = 0, mask = 0;
};

struct SegmentOutputs {
  MaskOutputs image;
  float* scores = nullptr;  // (K): probabilities of the labels
};

// What a photo's tokens say before any word is asked for.
struct EncodedImage {
  int64_t width, height;  // of the photo
  Grid grid;
  LastBlock last_block;
  std::span<float> mean_attention;  // (patches, patches)
  AlignedBytes memory;              // holds the spans
  size_t bytes = 0;
};

class Segmenter {
 public:
  // Reads the archive; LibTorch must be loaded (torch::load_library). Throws Error kModelRead, kModelFormat, kOutOfMemory, or Cancelled.
  Segmenter(const std::string& archive, const SegmenterSettings&, const std::atomic<bool>* cancelled = nullptr);

  const Model& model() const { return model_; }
  size_t bytes() const;                                          // of weights and workspace
  uint64_t allocations() const { return arena_.allocations(); }  // of workspace, ever: steady state adds none

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
  Context context(const std::atomic<bool>* cancelled) { return {pool_, arena_, cancelled}; }
  void encode_into(Context, const Image&, EncodedImage&, StageTimes&);

  SegmenterSettings settings_;
  ThreadPool pool_;
  Arena arena_;
  Model model_;
  GradCamWeights gradcam_weights_;
  EncodedImage current_{};  // of segment(Image): its memory is reused, and grown only
};

}  // namespace clip_es
