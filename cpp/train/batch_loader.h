// Prepares batches in background threads, so that the network does not wait for files. The batches and their order do not depend on the
// number of threads.
#pragma once
#include <torch/torch.h>

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "augmentation.h"
#include "dataset.h"

namespace clip_es::train {

struct Batch {
  torch::Tensor images;            // (batch, 3, crop, crop) float32, normalised
  torch::Tensor labels;            // (batch, crop, crop) uint8, kIgnored for pixels without a label
  torch::Tensor confidence;        // (batch, crop, crop) float32
  std::vector<std::string> names;  // of the samples
};

class BatchLoader {
 public:
  // `first`: the number of the first batch, when a run continues. `job` must outlive the loader.
  BatchLoader(const TrainJob& job, const Normalisation& normalisation, uint64_t first);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // Waits for the next batch. Throws the error of the first sample of it that could not be loaded.
  Batch next();

 private:
  struct Result {
    Batch batch;
    std::exception_ptr failure;
  };

  void work();
  Batch make_batch(uint64_t number);

  const TrainJob& job_;
  const Normalisation normalisation_;
  const AugmentationSettings settings_;
  SampleOrder order_;
  const uint64_t ahead_;  // how many batches are prepared ahead of the network

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t to_start_, to_return_;  // numbers of batches
  std::map<uint64_t, Result> ready_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace clip_es::train
