#include "validation.h"

#include <cstring>

#include "dataset.h"

namespace clip_es::train {
namespace {

Mask predict_mask(Network& network, const Photo& photo, const Normalisation& normalisation, const torch::Device& device) {
  const torch::Tensor labels =
      probabilities(network, to_input(photo, normalisation, device), {1.0}, false).argmax(0).to(torch::kUInt8).cpu().contiguous();
  const uint8_t* first = labels.data_ptr<uint8_t>();
  return {photo.width, photo.height, {first, first + labels.numel()}};
}

}  // namespace

void Confusion::add(const Mask& truth, const Mask& predicted) {
  for (size_t i = 0; i < truth.labels.size(); ++i)
    if (truth.labels[i] != kIgnored) ++counts_[truth.labels[i] * classes_ + predicted.labels[i]];
}

std::vector<std::optional<double>> Confusion::iou() const {
  std::vector<std::optional<double>> result(classes_);
  for (size_t k = 0; k < classes_; ++k) {
    uint64_t either = 0;
    for (size_t other = 0; other < classes_; ++other) either += counts_[k * classes_ + other] + counts_[other * classes_ + k];
    const uint64_t both = counts_[k * classes_ + k];
    if (either > 0) result[k] = static_cast<double>(both) / static_cast<double>(either - both);
  }
  return result;
}

double Confusion::miou() const {
  double sum = 0;
  int count = 0;
  for (const std::optional<double>& value : iou())
    if (value) {
      sum += *value;
      ++count;
    }
  return count ? sum / count : 0;
}

std::optional<Confusion> validate(Network& network, const TrainJob& job, const Normalisation& normalisation, const torch::Device& device,
                                  const std::function<void(size_t, const Mask&)>& on_mask, const std::function<bool()>& stop) {
  Confusion confusion(job.classes.size());
  network.eval();
  for (size_t i = 0; i < job.validation.size(); ++i) {
    if (stop()) return std::nullopt;
    const LoadedSample sample = load(job.validation[i], job.classes.size());
    const Mask predicted = predict_mask(network, sample.photo, normalisation, device);
    confusion.add(sample.mask, predicted);
    on_mask(i, predicted);
  }
  return confusion;
}

}  // namespace clip_es::train
