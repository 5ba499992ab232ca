// A caller's request to the engine, with its settings, outputs and times.
#pragma once
#include <atomic>
#include <exception>
#include <optional>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/label_texts.h"
#include "cam/similarity_settings.h"
#include "core/image.h"
#include "crf/dense_crf.h"
#include "encoded_image.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

struct SegmentSettings {
  std::optional<SimilaritySettings> similarity;  // how the maps are made; without it by GradCAM
  bool refine = true;
  BoxSettings box;
  AffinitySettings affinity;
  MaskSettings mask;
  std::optional<CrfSettings> crf;  // without it, the mask is made from the maps
};

// Seconds that each stage took.
struct StageTimes {
  double preprocess = 0, encode = 0, gradcam = 0, refine = 0, mask = 0, crf = 0;
};

struct SegmentOutputs {
  MaskOutputs image;
  float* scores = nullptr;  // (K): probabilities of the labels, with `similarity` the largest value of each label's map; or null
};

// One photo and its words. The caller owns all memory, which must stay valid until the call has returned.
struct Request {
  Image image{};
  const EncodedImage* encoded = nullptr;  // if set, used instead of image; from the same segmenter or a clone of it
  LabelTexts texts{};
  SegmentSettings settings{};
  SegmentOutputs outputs{};
  const std::atomic<bool>* cancelled = nullptr;

  // Results.
  StageTimes times{};            // the photos of a batch get equal parts of the time of shared stages
  std::exception_ptr failure{};  // null if the outputs were written

  void rethrow_failure() const {
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace clip_es
