#include "repeated_photo.h"

#include <numeric>

using namespace clip_es;

RepeatedPhoto::RepeatedPhoto(const BenchOptions& o, const std::vector<uint8_t>& rgb, const ClassSet& classes)
    : rgb_(rgb),
      texts_(classes.texts()),
      value_(classes.names.size()),
      width_(o.width),
      height_(o.height),
      requests_(static_cast<size_t>(o.batch)) {
  std::iota(value_.begin(), value_.end(), 1);
  texts_.value = value_;
  for (int i = 0; i < o.batch; ++i) masks_.emplace_back(static_cast<size_t>(o.width * o.height));
}

StageTimes RepeatedPhoto::run(Segmenter& segmenter) {
  for (size_t i = 0; i < requests_.size(); ++i)
    requests_[i] = {.image = {rgb_.data(), width_, height_, 3}, .texts = texts_, .outputs = {{masks_[i].data()}, nullptr}};
  segmenter.segment(requests_);
  for (const Request& request : requests_) request.rethrow_failure();
  return requests_.front().times;
}
