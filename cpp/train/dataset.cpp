#include "dataset.h"

#include <array>
#include <atomic>
#include <exception>
#include <thread>

#include "core/error.h"
#include "core/platform/file.h"
#include "random.h"

namespace clip_es::train {
namespace {

[[noreturn]] void refuse(const Sample& sample, const std::string& what) {
  throw Error(ErrorCode::kInvalidArg, "sample " + sample.name + ": " + what);
}

std::string size_of(int width, int height) { return std::to_string(width) + " x " + std::to_string(height); }

void check_labels(const Sample& sample, const Mask& mask, size_t classes) {
  std::array<bool, 256> seen{};
  for (const uint8_t label : mask.labels) seen[label] = true;
  for (size_t label = classes; label < kIgnored; ++label)
    if (seen[label])
      refuse(sample, "mask " + sample.mask + " has the label " + std::to_string(label) + ", expected labels below " +
                         std::to_string(classes) + " (the number of classes with the background) or 255 (ignored); use the class file " +
                         "that the masks were made with");
}

void check_size(const Sample& sample, const std::string& path, int width, int height, const Photo& photo) {
  if (width != photo.width || height != photo.height)
    refuse(sample, path + " is " + size_of(width, height) + ", but photo " + sample.photo + " is " + size_of(photo.width, photo.height) +
                       "; make the masks again from the same photos");
}

void check_exists(const Sample& sample, const std::string& path) {
  if (!platform::exists(path))
    throw Error(ErrorCode::kIo, "sample " + sample.name + ": " + path + " is missing; make it again or remove the sample");
}

void check(const Sample& sample, size_t classes) {
  check_exists(sample, sample.photo);
  check_exists(sample, sample.mask);
  if (sample.confidence) check_exists(sample, *sample.confidence);
  check_labels(sample, read_mask(sample.mask), classes);
}

}  // namespace

LoadedSample load(const Sample& sample, size_t classes) {
  LoadedSample loaded{read_photo(sample.photo), read_mask(sample.mask), {}};
  check_size(sample, "mask " + sample.mask, loaded.mask.width, loaded.mask.height, loaded.photo);
  check_labels(sample, loaded.mask, classes);
  if (sample.confidence) {
    loaded.confidence = read_confidence(*sample.confidence);
    check_size(sample, "confidence map " + *sample.confidence, loaded.confidence.width, loaded.confidence.height, loaded.photo);
  }
  return loaded;
}

void check_all(const std::vector<Sample>& samples, size_t classes, int threads) {
  std::atomic<size_t> next = 0;
  std::vector<std::exception_ptr> failures(samples.size());
  const auto work = [&] {
    for (size_t i; (i = next++) < samples.size();) try {
        check(samples[i], classes);
      } catch (...) {
        failures[i] = std::current_exception();
        next = samples.size();  // samples before this one are in work or done, so the first failure is found
      }
  };
  std::vector<std::thread> workers;
  for (int i = 1; i < threads; ++i) workers.emplace_back(work);
  work();
  for (std::thread& worker : workers) worker.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

size_t SampleOrder::at(uint64_t position) {
  const std::scoped_lock lock(mutex_);
  const uint64_t epoch = position / count_;
  if (epoch != epoch_) {
    order_ = shuffled(static_cast<uint32_t>(count_), seed_, epoch);
    epoch_ = epoch;
  }
  return order_[position % count_];
}

}  // namespace clip_es::train
