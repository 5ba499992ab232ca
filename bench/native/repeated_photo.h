// A batch of equal photos.
#pragma once
#include <cstdint>
#include <vector>

#include "class_set.h"
#include "options.h"
#include "segmenter.h"

// --batch copies of the photo. run() can be called any number of times.
class RepeatedPhoto {
 public:
  // rgb and classes must outlive this object.
  RepeatedPhoto(const BenchOptions&, const std::vector<uint8_t>& rgb, const clip_es::ClassSet& classes);

  // Returns the times of one photo.
  clip_es::StageTimes run(clip_es::Segmenter&);

 private:
  const std::vector<uint8_t>& rgb_;
  clip_es::LabelTexts texts_;
  std::vector<uint8_t> value_;
  std::vector<std::vector<uint8_t>> masks_;
  int64_t width_, height_;
  std::vector<clip_es::Request> requests_;
};
