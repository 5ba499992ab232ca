#include "batch_loader.h"

#include "random.h"

namespace clip_es::train {

BatchLoader::BatchLoader(const TrainJob& job, const Normalisation& normalisation, uint64_t first)
    : job_(job),
      normalisation_(normalisation),
      settings_{static_cast<int>(job.training.crop), job.training.smallest_scale, job.training.largest_scale, job.training.flip},
      order_(job.samples.size(), job.seed),
      ahead_(static_cast<uint64_t>(job.loaders) + 2),
      to_start_(first),
      to_return_(first) {
  for (int i = 0; i < job.loaders; ++i) threads_.emplace_back([this] { work(); });
}

BatchLoader::~BatchLoader() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Batch BatchLoader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ready_.contains(to_return_); });
  const auto node = ready_.extract(to_return_++);
  lock.unlock();
  changed_.notify_all();
  if (node.mapped().failure) std::rethrow_exception(node.mapped().failure);
  return std::move(node.mapped().batch);
}

void BatchLoader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || to_start_ < to_return_ + ahead_; });
    if (closing_) return;
    const uint64_t number = to_start_++;
    lock.unlock();
    Result result;
    try {
      result.batch = make_batch(number);
    } catch (...) {
      result.failure = std::current_exception();
    }
    lock.lock();
    ready_.emplace(number, std::move(result));
    changed_.notify_all();
  }
}

Batch BatchLoader::make_batch(uint64_t number) {
  const int64_t count = job_.training.batch, crop = settings_.crop;
  const auto area = static_cast<size_t>(crop * crop);
  Batch batch{
      torch::empty({count, 3, crop, crop}), torch::empty({count, crop, crop}, torch::kUInt8), torch::empty({count, crop, crop}), {}};
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const uint64_t position = number * static_cast<uint64_t>(count) + i;
    const Sample& sample = job_.samples[order_.at(position)];
    const LoadedSample loaded = load(sample, job_.classes.size());
    Random random(job_.seed, position);
    const Crop crop_of_sample{{batch.images.data_ptr<float>() + i * 3 * area, 3 * area},
                              {batch.labels.data_ptr<uint8_t>() + i * area, area},
                              {batch.confidence.data_ptr<float>() + i * area, area}};
    augment(loaded.photo, loaded.mask, loaded.confidence, settings_, draw(random), normalisation_, crop_of_sample);
    batch.names.push_back(sample.name);
  }
  return batch;
}

}  // namespace clip_es::train
