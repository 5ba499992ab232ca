// The calls of Segmenter: opening, requests and their failures. segmenter.cpp has the stages.
#include <algorithm>

#include "cam/embeddings.h"
#include "clip/preprocess.h"
#include "core/denormals.h"
#include "core/platform/threads.h"
#include "segmenter.h"
#include "torch/library.h"

namespace clip_es {
namespace {

// Sets the state that a computing thread keeps.
void prepare_thread(const SegmenterSettings& settings) {
  torch::use_one_thread();
  if (settings.lower_priority) platform::lower_thread_priority();
}

// Sets the state that a computing thread needs. The caller may call the engine on any thread.
struct EngineThread {
  explicit EngineThread(const SegmenterSettings& settings) { prepare_thread(settings); }
  FlushDenormals flush;
};

// Runs `work` between the device's begin() and finish(). finish() is called even if work throws: after it, the device no longer uses its
// memory or the caller's.
template <class Work>
void run_on(const SegmenterSettings& settings, Device& device, Work work) {
  const EngineThread thread(settings);
  device.begin();
  try {
    work();
  } catch (...) {
    try {
      device.finish();
    } catch (const Error&) {
      // The first error is reported.
    }
    throw;
  }
  device.finish();
}

// Releases memory that only an unusually large photo needed, at the end of each job, also after an exception.
struct TrimMemory {
  Arena& host;
  DeviceArena& device;
  DeviceBuffer& encodings;
  ~TrimMemory() {
    encodings.trim();
    device.trim();
    host.trim();
  }
};

// True if the photo is encoded with those of the batch. Maps by similarity and views need their own encoding.
bool needs_encoding(const Request& request) { return !request.encoded && !request.settings.similarity && !request.settings.is_averaged(); }

// Adds an equal part of the times of the stages that find words.
void add_share(const StageTimes& times, size_t photos, StageTimes& to) {
  const auto divisor = static_cast<double>(photos);
  to.gradcam += times.gradcam / divisor;
  to.refine += times.refine / divisor;
  to.mask += times.mask / divisor;
}

bool is_out_of_memory(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error.code == ErrorCode::kOutOfMemory;
  } catch (...) {
  }
  return false;
}

}  // namespace

Segmenter::Segmenter(const std::string& archive, const SegmenterSettings& settings, const std::atomic<bool>* cancelled,
                     std::unique_ptr<Device> device)
    : settings_(settings),
      pool_(settings.threads, [settings] { prepare_thread(settings); }),
      device_(device ? std::move(device) : open_device(settings.device, arena_)) {
  prepare_thread(settings);
  HostContext h = host(cancelled);
  load_ = load_model(h, *device_, archive, settings.precision, settings.weights_folder);
}

Segmenter::Segmenter(std::shared_ptr<const LoadedModel> loaded, const SegmenterSettings& settings, std::unique_ptr<Device> device)
    : settings_(settings),
      pool_(settings.threads, [settings] { prepare_thread(settings); }),
      device_(std::move(device)),
      load_{.loaded = std::move(loaded), .origin = WeightsOrigin::kMemory, .failure = {}} {
  prepare_thread(settings);
  device_->share(load_.loaded->model, load_.loaded->weights);
}

Segmenter::Segmenter(const Segmenter& first, int threads)
    : settings_(first.settings_),
      pool_(threads, [settings = first.settings_] { prepare_thread(settings); }),
      device_(first.device_->clone(arena_)),
      load_(first.load_) {}

std::unique_ptr<Segmenter> Segmenter::clone(int threads) const { return std::unique_ptr<Segmenter>(new Segmenter(*this, threads)); }

size_t Segmenter::bytes() const {
  const LoadedModel& loaded = *load_.loaded;
  return loaded.model->bytes() + loaded.text->bytes() + loaded.weights->bytes() + arena_.capacity() + device_->workspace_bytes() +
         memory_.bytes();
}

uint64_t Segmenter::allocations() const { return arena_.allocations() + device_->allocations(); }

void Segmenter::encode_text(std::span<const int32_t> tokens, std::span<float> embeddings, const std::atomic<bool>* cancelled) {
  const EngineThread thread(settings_);
  HostContext h = host(cancelled);
  clip_es::encode_text(h, model(), *load_.loaded->text, tokens, embeddings);
}

std::shared_ptr<EncodedImage> Segmenter::encode(const Image& image, StageTimes& times, const std::atomic<bool>* cancelled) {
  const TrimMemory trim{arena_, device_->arena(), memory_};
  auto encoded = std::make_shared<EncodedImage>();
  photos_.photos = {image};
  clock_.clear();
  run_on(settings_, *device_, [&] {
    photos_.lay_out(model(), device_->last_block_shape(), settings_.max_side, device_->memory(), encoded->memory);
    encode_photos(on_device(cancelled), photos_, settings_.max_side, times);
  });
  clock_.collect(*device_);
  encoded->encoding = photos_.encoding(0);
  HostContext h = host(cancelled);
  Arena::Scope scope(h.arena);
  const uint8_t* rgb = to_rgb(h, image);
  encoded->rgb.assign(rgb, rgb + 3 * image.size().pixels());
  return encoded;
}

void Segmenter::embeddings(const EncodedImage& encoded, std::span<float> image, std::span<float> patches,
                           const std::atomic<bool>* cancelled) {
  DeviceContext c = on_device(cancelled);
  run_on(settings_, *device_, [&] { device_->embeddings(c, encoded.encoding.last_block, image, patches); });
}

void Segmenter::embed_crops(const Image& image, std::span<const PixelBox> boxes, std::span<float> embeddings, StageTimes& times,
                            const std::atomic<bool>* cancelled) {
  const TrimMemory trim{arena_, device_->arena(), memory_};
  Arena::Scope scope(arena_);
  const int64_t side = model().shape.resolution, embedding = model().shape.embedding;
  clock_.clear();
  run_on(settings_, *device_, [&] {
    HostContext h = host(cancelled);
    photos_.photos.clear();
    {
      const auto timed = clock_.section(*device_, times, &StageTimes::preprocess);
      const View enlarged{.scale = static_cast<double>(side)};  // `side` limits it
      for (const PixelBox& box : boxes) {
        h.checkpoint();
        photos_.photos.push_back(make_view(h, crop(image, box), enlarged, model().shape.patch, side));
      }
    }
    DeviceContext c = on_device(cancelled);
    photos_.lay_out(model(), device_->last_block_shape(), 0, device_->memory(), memory_);
    encode_photos(c, photos_, 0, times);
    for (const DeviceLastBlock& block : photos_.last_blocks) {
      device_->embeddings(c, block, embeddings.first(embedding), {});
      embeddings = embeddings.subspan(embedding);
    }
  });
  clock_.collect(*device_);
}

void Segmenter::segment(std::span<Request> requests, const std::atomic<bool>* cancelled) {
  if (requests.empty()) return;
  const TrimMemory trim{arena_, device_->arena(), memory_};
  segment_batch(requests, cancelled);
  if (requests.size() == 1) return;
  for (Request& request : requests) {
    if (!is_out_of_memory(request.failure)) continue;
    segment_batch({&request, 1}, request.cancelled ? request.cancelled : cancelled);
  }
}

// Segments the photos that have an encoding, as many at once as the device takes. If a stage fails for several photos, it fails for each.
void Segmenter::segment_groups(const std::atomic<bool>* cancelled) {
  const size_t at_once = device_->photos_at_once();
  groups_.clear();
  groups_.reserve(with_words_.size());  // the clock has addresses of the groups' times
  for (std::span<PhotoWithWords> rest = with_words_; !rest.empty();) {
    const std::span<PhotoWithWords> all = rest.first(std::min(at_once, rest.size()));
    rest = rest.subspan(all.size());
    const auto ready_end = std::remove_if(all.begin(), all.end(), [&](PhotoWithWords& photo) {
      return !try_request(*photo.request, [&] {
        host(cancelled).checkpoint();
        host(photo.cancelled).checkpoint();
        require_competition(photo.request->texts);
      });
    });
    const std::span<PhotoWithWords> ready = all.first(static_cast<size_t>(ready_end - all.begin()));
    if (ready.empty()) continue;
    PhotoGroup& group = groups_.emplace_back(PhotoGroup{ready, {}});
    try {
      segment_photos(on_device(ready.size() == 1 ? ready[0].cancelled : cancelled), ready, group.times);
    } catch (...) {
      for (const PhotoWithWords& photo : ready) photo.request->failure = std::current_exception();
    }
  }
}

void Segmenter::segment_batch(std::span<Request> requests, const std::atomic<bool>* cancelled) {
  size_t labels = 0;
  photos_.photos.clear();
  for (Request& request : requests) {
    request.failure = nullptr;
    request.times = {};
    labels += request.texts.labels();
    if (needs_encoding(request)) photos_.photos.push_back(request.image);
  }
  Arena::Scope scope(arena_);
  const std::span<float> all_scores = arena_.take<float>(labels);  // of all photos, one after another
  // Calls work(request, its scores) for every request that has not failed. A failure is stored in its request.
  const auto for_each = [&](auto work) {
    size_t first = 0;
    for (Request& request : requests) {
      const auto scores = all_scores.subspan(first, request.texts.labels());
      first += scores.size();
      if (!request.failure) try_request(request, [&] { work(request, scores); });
    }
  };

  const auto photos = static_cast<double>(photos_.photos.size());
  StageTimes shared;
  clock_.clear();
  try {
    run_on(settings_, *device_, [&] {
      if (!photos_.photos.empty()) {
        photos_.lay_out(model(), device_->last_block_shape(), settings_.max_side, device_->memory(), memory_);
        encode_photos(on_device(cancelled), photos_, settings_.max_side, shared);
      }
      const auto flag_of = [&](const Request& request) { return request.cancelled ? request.cancelled : cancelled; };
      size_t next = 0;  // photo of the batch
      with_words_.clear();
      for_each([&](Request& request, std::span<float> scores) {
        if (request.settings.is_averaged()) return;
        if (request.settings.similarity) return segment_by_similarity(on_device(flag_of(request)), request, scores);
        const Encoding encoding = request.encoded ? request.encoded->encoding : photos_.encoding(next++);
        with_words_.push_back({&request, flag_of(request), encoding, scores, {}});
      });
      segment_groups(cancelled);
      // These come last, because segment_views() encodes into the memory of the batch.
      for_each([&](Request& request, std::span<float> scores) {
        if (request.settings.is_averaged()) segment_views(on_device(flag_of(request)), request, scores);
      });
    });
  } catch (...) {
    for (Request& request : requests)
      if (!request.failure) request.failure = std::current_exception();
    return;
  }

  clock_.collect(*device_);
  for (const PhotoGroup& group : groups_)
    for (const PhotoWithWords& photo : group.photos) add_share(group.times, group.photos.size(), photo.request->times);
  for_each([&](Request& request, std::span<float> scores) {
    if (needs_encoding(request)) {
      request.times.preprocess = shared.preprocess / photos;
      request.times.encode = shared.encode / photos;
    }
    require_finite(scores);
    if (request.outputs.scores) std::ranges::copy(scores, request.outputs.scores);
  });
}

}  // namespace clip_es
