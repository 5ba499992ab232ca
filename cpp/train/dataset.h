// The samples of a training or validation set: their files, and their order in a run.
#pragma once
#include <mutex>

#include "job.h"
#include "pictures.h"

namespace clip_es::train {

struct LoadedSample {
  Photo photo;
  Mask mask;
  Confidence confidence;  // empty: none
};

// Reads the files of a sample. Throws Error kInvalidArg when their sizes differ, or when the mask has a label that is neither below
// `classes` nor kIgnored.
LoadedSample load(const Sample& sample, size_t classes);

// Reads all masks before the training starts, in several threads, and throws the error of the first sample that cannot be used. Photos and
// confidence maps are only looked for.
void check_all(const std::vector<Sample>& samples, size_t classes, int threads);

// Which sample is at a position of the run: all samples in a new order in each epoch. Thread-safe.
class SampleOrder {
 public:
  SampleOrder(size_t count, uint64_t seed) : count_(count), seed_(seed) {}
  size_t at(uint64_t position);

 private:
  const uint64_t count_, seed_;
  std::mutex mutex_;
  uint64_t epoch_ = ~uint64_t{0};  // of order_
  std::vector<uint32_t> order_;
};

}  // namespace clip_es::train
