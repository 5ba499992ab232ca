#include "segmenter.h"

#include <algorithm>
#include <cmath>

#include "cam/embeddings.h"
#include "clip/text_tower.h"
#include "core/denormals.h"
#include "torch/library.h"

namespace clip_es {
namespace {

// What a thread needs that computes, whichever thread the caller is on.
struct EngineThread {
  EngineThread() { torch::use_one_thread(); }
  FlushDenormals flush;
};

// Adds the seconds of its life to a stage's time.
class Timer {
 public:
  Timer(Device& device, double& seconds) : device_(device) { device_.start(seconds); }
  ~Timer() { device_.stop(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  Device& device_;
};

// Queues the work on the device and waits for it, whatever is thrown: then its memory and the caller's are free for others.
template <class Work>
void run_on(Device& device, Work work) {
  device.enter();
  try {
    work();
  } catch (...) {
    try {
      device.finish();
    } catch (const Error&) {
      // What was thrown first is what happened.
    }
    throw;
  }
  device.finish();
}

void reserve(const Device& device, DeviceMemory& memory, size_t bytes) {
  if (memory.bytes >= bytes) return;
  memory = {};  // not both at once
  memory.data = device.memory().allocate(bytes);
  memory.bytes = bytes;
}

// For when the device has been waited for: it cannot throw when it meets a photo without a finite embedding.
void require_finite(std::span<const float> probabilities) {
  for (const float p : probabilities)
    if (!std::isfinite(p)) throw_no_embedding();
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

void hand_out(std::span<const float> scores, const SegmentOutputs& outputs) {
  require_finite(scores);
  if (outputs.scores) std::copy(scores.begin(), scores.end(), outputs.scores);
}

std::shared_ptr<const Model> load(HostContext host, const std::string& archive, Device& device, torch::Precision precision) {
  torch::use_one_thread();
  auto model = std::make_shared<Model>(read_model(Archive(archive), device.reads(precision), host.cancelled));
  device.load(host, *model, precision);
  return model;
}

}  // namespace

Segmenter::Segmenter(const std::string& archive, const SegmenterSettings& settings, const std::atomic<bool>* cancelled,
                     std::unique_ptr<Device> device)
    : settings_(settings),
      pool_(settings.threads, torch::use_one_thread),
      device_(device ? std::move(device) : open_device(settings.device, arena_)),
      model_(load(host(cancelled), archive, *device_, settings.precision)) {}

Segmenter::Segmenter(const Segmenter& first, int threads)
    : settings_(first.settings_), pool_(threads, torch::use_one_thread), device_(first.device_->beside(arena_)), model_(first.model_) {}

std::unique_ptr<Segmenter> Segmenter::beside(int threads) const { return std::unique_ptr<Segmenter>(new Segmenter(*this, threads)); }

size_t Segmenter::bytes() const {
  const Arena& work = device_->arena();
  return model_->bytes() + device_->bytes() + arena_.capacity() + (&work == &arena_ ? 0 : work.capacity()) + memory_.bytes;
}

uint64_t Segmenter::allocations() const {
  const Arena& work = device_->arena();
  return arena_.allocations() + (&work == &arena_ ? 0 : work.allocations());
}

void Segmenter::encode_text(std::span<const int32_t> tokens, std::span<float> embeddings, const std::atomic<bool>* cancelled) {
  const EngineThread thread;
  HostContext c = host(cancelled);
  clip_es::encode_text(c, *model_, tokens, embeddings);
}

std::shared_ptr<EncodedImage> Segmenter::encode(const Image& image, StageTimes& times, const std::atomic<bool>* cancelled) {
  auto encoded = std::make_shared<EncodedImage>();
  run_on(*device_, [&] { encode_into(context(cancelled), {&image, 1}, {encoded.get(), 1}, encoded->memory, times); });
  HostContext c = host(cancelled);
  Arena::Scope scope(c.arena);
  const uint8_t* rgb = to_rgb(c, image);
  encoded->rgb.assign(rgb, rgb + 3 * image.width * image.height);
  return encoded;
}

void Segmenter::embeddings(const EncodedImage& encoded, float* image, float* patches, const std::atomic<bool>* cancelled) {
  const EngineThread thread;
  HostContext c = context(cancelled);
  run_on(*device_, [&] { device_->embeddings(c, encoded.last_block, image, patches); });
}

void Segmenter::segment(const Image& image, const LabelTexts& texts, std::span<const uint8_t> value, const SegmentSettings& settings,
                        const SegmentOutputs& outputs, StageTimes& times, const std::atomic<bool>* cancelled) {
  Request request{image, texts, value, settings, outputs, cancelled, {}, nullptr};
  segment({&request, 1}, cancelled);
  times = request.times;
  if (request.failure) std::rethrow_exception(request.failure);
}

void Segmenter::segment(const EncodedImage& image, const LabelTexts& texts, std::span<const uint8_t> value, const SegmentSettings& settings,
                        const SegmentOutputs& outputs, StageTimes& times, const std::atomic<bool>* cancelled) {
  Request request{{image.rgb.data(), image.width, image.height, 3}, texts, value, settings, outputs, cancelled, {}, nullptr};
  Arena::Scope scope(arena_);
  const auto scores = arena_.take<float>(value.size());
  run_on(*device_, [&] { segment_encoded(context(cancelled), image, request, scores); });
  times = request.times;
  hand_out(scores, outputs);
}

void Segmenter::segment(std::span<Request> batch, const std::atomic<bool>* cancelled) {
  if (batch.empty()) return;
  segment_together(batch, cancelled);
  if (batch.size() == 1) return;
  for (Request& request : batch) {
    if (!is_out_of_memory(request.failure)) continue;
    request.failure = nullptr;
    segment_together({&request, 1}, request.cancelled);
  }
}

void Segmenter::segment_together(std::span<Request> batch, const std::atomic<bool>* cancelled) {
  size_t labels = 0;
  photos_.clear();
  for (const Request& request : batch) photos_.push_back(request.image), labels += request.value.size();
  if (current_.size() < batch.size()) current_.resize(batch.size());
  StageTimes shared;
  Arena::Scope scope(arena_);
  const std::span<float> scores = arena_.take<float>(labels);  // of all photos, one behind the other
  const auto each = [&](auto work) {
    size_t first = 0;
    for (size_t i = 0; i < batch.size(); first += batch[i++].value.size()) {
      if (batch[i].failure) continue;
      try {
        work(batch[i], current_[i], scores.subspan(first, batch[i].value.size()));
      } catch (...) {
        batch[i].failure = std::current_exception();
      }
    }
  };
  try {
    run_on(*device_, [&] {
      encode_into(context(cancelled), photos_, std::span(current_).first(batch.size()), memory_, shared);
      each([&](Request& request, const EncodedImage& image, std::span<float> own) {
        segment_encoded(context(request.cancelled), image, request, own);
      });
    });
  } catch (...) {
    for (Request& request : batch)
      if (!request.failure) request.failure = std::current_exception();
    return;
  }
  const auto photos = static_cast<double>(batch.size());
  each([&](Request& request, const EncodedImage&, std::span<float> own) {
    request.times.preprocess = shared.preprocess / photos;
    request.times.encode = shared.encode / photos;
    hand_out(own, request.outputs);
  });
}

// The first half: what does not depend on words.
void Segmenter::encode_into(HostContext c, std::span<const Image> photos, std::span<EncodedImage> images, DeviceMemory& memory,
                            StageTimes& times) {
  const EngineThread thread;
  const int64_t patch = model_->shape.patch, patch_values = 3 * patch * patch;
  Arena::Scope scope(c.arena), host_scope(arena_);
  const auto grids = arena_.take<Grid>(photos.size());
  const auto blocks = arena_.take<LastBlock>(photos.size());
  const auto means = arena_.take<float*>(photos.size());
  int64_t patch_count = 0;
  size_t block_floats = 0, mean_floats = 0;
  for (size_t i = 0; i < photos.size(); ++i) {
    grids[i] = patch_grid(photos[i].width, photos[i].height, patch, settings_.max_side);
    const int64_t patches = grids[i].patches();
    blocks[i] = {};
    blocks[i].n = patches + 1;
    patch_count += patches;
    block_floats += LastBlock::floats(*model_, patches + 1);
    mean_floats += static_cast<size_t>(patches * patches);
  }
  reserve(*device_, memory, (block_floats + mean_floats) * sizeof(float));
  auto* floats = reinterpret_cast<float*>(memory.data.get());
  bind(*model_, blocks, {floats, block_floats});
  floats += block_floats;
  for (size_t i = 0; i < photos.size(); ++i) {
    means[i] = floats;
    floats += grids[i].patches() * grids[i].patches();
    images[i].width = photos[i].width;
    images[i].height = photos[i].height;
    images[i].grid = grids[i];
    images[i].last_block = blocks[i];
    images[i].mean_attention = means[i];
  }
  const auto patches = c.arena.take<float>(static_cast<size_t>(patch_count * patch_values));
  const auto tokens = c.arena.take<float>(static_cast<size_t>((patch_count + static_cast<int64_t>(photos.size())) * model_->shape.width));
  c.checkpoint();
  {
    Timer timer(*device_, times.preprocess);
    float* own = patches.data();
    for (size_t i = 0; i < photos.size(); own += grids[i++].patches() * patch_values)
      device_->preprocess(c, photos[i], settings_.max_side, own);
  }
  Timer timer(*device_, times.encode);
  device_->encode_images(c, grids, patches.data(), tokens.data(), means);
  device_->run_last_block(c, tokens.data(), blocks, means);
}

// The second half: where each word is. scores (K): the labels' probabilities, once the device has been waited for.
void Segmenter::segment_encoded(HostContext c, const EncodedImage& image, Request& request, std::span<float> scores) {
  const EngineThread thread;
  const LabelTexts& texts = request.texts;
  const SegmentSettings& settings = request.settings;
  const SegmentOutputs& outputs = request.outputs;
  StageTimes& times = request.times;
  const int64_t labels = texts.labels(), patches = image.grid.patches(), embedding = model_->shape.embedding;
  const auto map_size = static_cast<size_t>(labels * patches);
  const auto text_count = static_cast<size_t>(labels) + texts.background.size() / static_cast<size_t>(embedding);
  c.checkpoint();
  Arena::Scope scope(c.arena);
  const auto logits = c.arena.take<float>(text_count), probabilities = c.arena.take<float>(text_count);
  std::span<float> maps = c.arena.take<float>(map_size);
  {
    Timer timer(*device_, times.gradcam);
    device_->softmax_gradcam(c, image.last_block, texts, logits.data(), probabilities.data(), maps.data());
  }
  device_->copy_out(probabilities.data(), labels, scores.data());
  if (settings.refine) {
    Timer timer(*device_, times.refine);
    const auto boxes = c.arena.take<uint8_t>(map_size);
    const auto refined = c.arena.take<float>(map_size);
    device_->box_mask(c, maps.data(), labels, image.grid, settings.box, boxes.data());
    device_->refine_cams(c, image.mean_attention, patches, maps.data(), boxes.data(), labels, settings.affinity, refined.data());
    maps = refined;
  }
  if (!settings.crf) {
    Timer timer(*device_, times.mask);
    device_->make_pseudo_mask(c, maps.data(), image.grid, request.value, image.width, image.height, settings.mask, outputs.image);
    return;
  }
  const int64_t pixels = image.width * image.height;
  HostContext h = host(c.cancelled);
  Arena::Scope host_scope(h.arena);
  const auto pixel_scores = h.arena.take<float>(static_cast<size_t>((labels + 1) * pixels));
  {
    Timer timer(*device_, times.mask);
    device_->score_labels(c, maps.data(), image.grid, labels, image.width, image.height, settings.mask, pixel_scores.data());
  }
  device_->wait();
  require_finite(scores);
  if (outputs.image.maps) std::copy(pixel_scores.begin() + pixels, pixel_scores.end(), outputs.image.maps);
  Timer timer(*device_, times.crf);
  dense_crf(h, {to_rgb(h, request.image), image.width, image.height, pixel_scores.data(), labels + 1}, *settings.crf,
            {.mask = outputs.image.mask,
             .confidence = outputs.image.confidence,
             .value = request.value,
             .ignore_below = settings.mask.ignore_below});
}

}  // namespace clip_es
