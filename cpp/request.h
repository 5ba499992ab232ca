// A caller's request to the engine, with its settings, outputs and times.
#pragma once
#include <atomic>
#include <exception>
#include <optional>
#include <span>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/label_texts.h"
#include "cam/similarity_settings.h"
#include "core/image.h"
#include "crf/dense_crf.h"
#include "encoded_image.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

inline constexpr double kFullScale[] = {1};

struct SegmentSettings {
  std::optional<SimilaritySettings> similarity;  // how the maps are made; without it by GradCAM
  // The maps are averaged over the photo at these scales, and over the mirrored photo at each if `flip`. At least one scale, each greater
  // than 0, relative to the photo as max_side reduces it. The caller owns the memory.
  std::span<const double> scales = kFullScale;
  bool flip = false;
  bool refine = true;
  BoxSettings box;
  AffinitySettings affinity;
  float min_score = 0;  // a label with a smaller score (see SegmentOutputs) gets no pixels
  MaskSettings mask;
  std::optional<CrfSettings> crf;  // without it, the mask is made from the maps

  bool is_averaged() const { return flip || scales.size() != 1 || scales[0] != 1; }
};

// Seconds that each stage took.
struct StageTimes {
  double preprocess = 0, encode = 0, gradcam = 0, refine = 0, mask = 0, crf = 0;
};

struct SegmentOutputs {
  MaskOutputs image;
  // (K), or null: the labels' probabilities, averaged as the maps are. With `similarity`: the largest value of each label's map.
  float* scores = nullptr;
};

// One photo and its words. The caller owns all memory, which must stay valid until the call has returned.
struct Request {
  Image image{};
  const EncodedImage* encoded = nullptr;  // if set, used instead of image; from the same segmenter or a clone of it
  LabelTexts texts{};
  SegmentSettings settings{};
  SegmentOutputs outputs{};
  const std::atomic<bool>* cancelled = nullptr;

  Image photo() const { return encoded ? encoded->photo() : image; }

  // Results.
  StageTimes times{};            // the photos of a batch get equal parts of the time of shared stages
  std::exception_ptr failure{};  // null if the outputs were written

  void rethrow_failure() const {
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace clip_es
