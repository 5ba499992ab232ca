#include "segmenter.h"

#include <algorithm>

#include "clip/text_tower.h"
#include "core/denormals.h"
#include "torch/library.h"

namespace clip_es {
namespace {

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

// Lays the image's spans over its memory, which grows when it is too small.
void reserve(const Device& device, const Model& model, EncodedImage& image) {
  const auto patches = static_cast<size_t>(image.grid.patches());
  const size_t block_floats = LastBlock::floats(model, image.grid.patches() + 1), floats = block_floats + patches * patches;
  if (image.bytes < floats * sizeof(float)) {
    image.memory.reset();  // not both at once
    image.bytes = 0;
    image.memory = device.memory().allocate(floats * sizeof(float));
    image.bytes = floats * sizeof(float);
  }
  const std::span<float> memory(reinterpret_cast<float*>(image.memory.get()), floats);
  image.last_block.bind(model, image.grid.patches() + 1, memory.first(block_floats));
  image.mean_attention = memory.subspan(block_floats);
}

Model load(Context context, const std::string& archive, torch::Precision precision) {
  torch::use_one_thread();
  return read_model(Archive(archive), precision, context.cancelled);
}

}  // namespace

Segmenter::Segmenter(const std::string& archive, const SegmenterSettings& settings, const std::atomic<bool>* cancelled,
                     std::unique_ptr<Device> device)
    : settings_(settings),
      pool_(settings.threads, torch::use_one_thread),
      device_(device ? std::move(device) : open_device(settings.device, arena_)),
      model_(load(host(cancelled), archive, device_->reads(settings.precision))) {
  Context c = host(cancelled);
  device_->load(c, model_, settings.precision);
}

size_t Segmenter::bytes() const {
  const Arena& work = device_->arena();
  return model_.bytes() + device_->bytes() + arena_.capacity() + (&work == &arena_ ? 0 : work.capacity()) + current_.bytes;
}

uint64_t Segmenter::allocations() const {
  const Arena& work = device_->arena();
  return arena_.allocations() + (&work == &arena_ ? 0 : work.allocations());
}

void Segmenter::encode_text(std::span<const int32_t> tokens, std::span<float> embeddings, const std::atomic<bool>* cancelled) {
  const FlushDenormals flush;
  Context c = host(cancelled);
  clip_es::encode_text(c, model_, tokens, embeddings);
}

std::shared_ptr<EncodedImage> Segmenter::encode(const Image& image, StageTimes& times, const std::atomic<bool>* cancelled) {
  auto encoded = std::make_shared<EncodedImage>();
  run_on(*device_, [&] { encode_into(context(cancelled), image, *encoded, times); });
  Context c = host(cancelled);
  Arena::Scope scope(c.arena);
  const uint8_t* rgb = to_rgb(c, image);
  encoded->rgb.assign(rgb, rgb + 3 * image.width * image.height);
  return encoded;
}

void Segmenter::embeddings(const EncodedImage& encoded, float* image, float* patches, const std::atomic<bool>* cancelled) {
  const FlushDenormals flush;
  Context c = context(cancelled);
  run_on(*device_, [&] { device_->embeddings(c, encoded.last_block, image, patches); });
}

void Segmenter::segment(const Image& image, const LabelTexts& texts, std::span<const uint8_t> value, const SegmentSettings& settings,
                        const SegmentOutputs& outputs, StageTimes& times, const std::atomic<bool>* cancelled) {
  run_on(*device_, [&] {
    encode_into(context(cancelled), image, current_, times);
    segment(context(cancelled), image, current_, texts, value, settings, outputs, times);
  });
}

void Segmenter::segment(const EncodedImage& image, const LabelTexts& texts, std::span<const uint8_t> value, const SegmentSettings& settings,
                        const SegmentOutputs& outputs, StageTimes& times, const std::atomic<bool>* cancelled) {
  const Image photo{image.rgb.data(), image.width, image.height, 3};
  run_on(*device_, [&] { segment(context(cancelled), photo, image, texts, value, settings, outputs, times); });
}

// The first half: what does not depend on words.
void Segmenter::encode_into(Context c, const Image& image, EncodedImage& encoded, StageTimes& times) {
  const FlushDenormals flush;
  const int64_t patch = model_.shape.patch;
  encoded.width = image.width;
  encoded.height = image.height;
  encoded.grid = patch_grid(image.width, image.height, patch, settings_.max_side);
  reserve(*device_, model_, encoded);
  const int64_t patches_count = encoded.grid.patches();
  Arena::Scope scope(c.arena);
  const auto patches = c.arena.take<float>(static_cast<size_t>(patches_count * 3 * patch * patch));
  const auto tokens = c.arena.take<float>(static_cast<size_t>((patches_count + 1) * model_.shape.width));
  c.checkpoint();
  {
    Timer timer(*device_, times.preprocess);
    device_->preprocess(c, image, settings_.max_side, patches.data());
  }
  Timer timer(*device_, times.encode);
  device_->encode_image(c, encoded.grid, patches.data(), tokens.data(), encoded.mean_attention.data());
  device_->run_last_block(c, tokens.data(), encoded.last_block, encoded.mean_attention.data());
}

// The second half: where each word is.
void Segmenter::segment(Context c, const Image& photo, const EncodedImage& image, const LabelTexts& texts, std::span<const uint8_t> value,
                        const SegmentSettings& settings, const SegmentOutputs& outputs, StageTimes& times) {
  const FlushDenormals flush;
  const int64_t labels = texts.labels(), patches = image.grid.patches(), embedding = model_.shape.embedding;
  const auto map_size = static_cast<size_t>(labels * patches);
  const auto text_count = static_cast<size_t>(labels) + texts.background.size() / static_cast<size_t>(embedding);
  Arena::Scope scope(c.arena);
  const auto logits = c.arena.take<float>(text_count), probabilities = c.arena.take<float>(text_count);
  std::span<float> maps = c.arena.take<float>(map_size);
  {
    Timer timer(*device_, times.gradcam);
    device_->softmax_gradcam(c, image.last_block, texts, logits.data(), probabilities.data(), maps.data());
  }
  if (settings.refine) {
    Timer timer(*device_, times.refine);
    const auto boxes = c.arena.take<uint8_t>(map_size);
    const auto refined = c.arena.take<float>(map_size);
    device_->box_mask(c, maps.data(), labels, image.grid, settings.box, boxes.data());
    device_->refine_cams(c, image.mean_attention.data(), patches, maps.data(), boxes.data(), labels, settings.affinity, refined.data());
    maps = refined;
  }
  if (!settings.crf) {
    Timer timer(*device_, times.mask);
    device_->make_pseudo_mask(c, maps.data(), image.grid, value, image.width, image.height, settings.mask, outputs.image);
    if (outputs.scores) device_->copy_out(probabilities.data(), labels, outputs.scores);
    return;
  }
  if (outputs.scores) device_->copy_out(probabilities.data(), labels, outputs.scores);
  const int64_t pixels = image.width * image.height;
  Context h = host(c.cancelled);
  Arena::Scope host_scope(h.arena);
  const auto scores = h.arena.take<float>(static_cast<size_t>((labels + 1) * pixels)), marginals = h.arena.take<float>(scores.size());
  {
    Timer timer(*device_, times.mask);
    device_->score_labels(c, maps.data(), image.grid, labels, image.width, image.height, settings.mask, scores.data());
    if (outputs.image.maps) std::copy(scores.begin() + pixels, scores.end(), outputs.image.maps);
  }
  Timer timer(*device_, times.crf);
  dense_crf(h, to_rgb(h, photo), image.width, image.height, scores.data(), labels + 1, *settings.crf, marginals.data());
  label_scores(h, marginals.data(), value, pixels, settings.mask, outputs.image.mask, outputs.image.confidence);
}

}  // namespace clip_es
