// A photo with its words and memory for the results. The memory is filled with values that no result has, so that a test can see
// what a segmenter wrote.
#pragma once
#include <string>
#include <vector>

#include "golden.h"
#include "npy.h"
#include "segmenter.h"

constexpr float kUntouched = -7;
constexpr uint8_t kUntouchedLabel = 250;

// The upper left corner of a photo: the emulated GPU is slow.
npy::Photo corner_of(const npy::Photo&, int64_t width, int64_t height);

// A photo of GOLDEN/small. Its model is GOLDEN/vit-small-random.pt.
Case small_case(const std::string& name);

struct SegmentJob {
  explicit SegmentJob(const Case&);
  explicit SegmentJob(const std::string& name = "chelsea_150x113") : SegmentJob(small_case(name)) {}
  // The words of a golden photo with another photo.
  SegmentJob(const Case&, npy::Photo);

  clip_es::Image image() const { return {photo.rgb.data(), photo.width, photo.height, 3}; }
  // The request points to this job.
  clip_es::Request request(const clip_es::SegmentSettings& = {});

  bool has_no_mask() const;
  bool has_no_scores() const;
  bool is_untouched() const;  // no result of any kind was written

  Words words;
  npy::Photo photo;
  std::vector<uint8_t> mask;
  std::vector<float> confidence, maps, scores;
};

bool is_untouched(std::span<const float> values);
