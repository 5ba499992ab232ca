// Measures a network on photos with masks.
#pragma once
#include <functional>
#include <optional>

#include "inference.h"
#include "job.h"

namespace clip_es::train {

// Intersection over union, from the counts of all pixels whose true label is not kIgnored.
class Confusion {
 public:
  explicit Confusion(size_t classes) : classes_(classes), counts_(classes * classes) {}
  void add(const Mask& truth, const Mask& predicted);
  std::vector<std::optional<double>> iou() const;  // nothing for a class that is in no mask
  double miou() const;                             // the mean over the other classes

 private:
  const size_t classes_;
  std::vector<uint64_t> counts_;  // of (truth, predicted)
};

// Predicts all photos at their own size and gives each predicted mask to `on_mask` with the index of its sample. Stops early, without a
// result, when `stop` returns true.
std::optional<Confusion> validate(Network& network, const TrainJob& job, const Normalisation& normalisation, const torch::Device& device,
                                  const std::function<void(size_t, const Mask&)>& on_mask, const std::function<bool()>& stop);

}  // namespace clip_es::train
