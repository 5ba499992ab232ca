#include "segmenter.h"

#include <algorithm>
#include <chrono>

#include "cam/embeddings.h"
#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "core/denormals.h"
#include "torch/library.h"

namespace clip_es {
namespace {

// Adds the seconds of its life to a stage's time.
class Timer {
 public:
  explicit Timer(double& seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~Timer() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double& seconds_;
  Clock::time_point start_;
};

// Lays the image's spans over its memory, which grows when it is too small.
void reserve(const Model& model, EncodedImage& image) {
  const auto patches = static_cast<size_t>(image.grid.patches());
  const size_t block_floats = LastBlock::floats(model, image.grid.patches() + 1), floats = block_floats + patches * patches;
  if (image.bytes < floats * sizeof(float)) {
    image.memory.reset();  // not both at once
    image.bytes = 0;
    image.memory = allocate_aligned(floats * sizeof(float));
    image.bytes = floats * sizeof(float);
  }
  const std::span<float> memory(reinterpret_cast<float*>(image.memory.get()), floats);
  image.last_block.bind(model, image.grid.patches() + 1, memory.first(block_floats));
  image.mean_attention = memory.subspan(block_floats);
}

Model load(Context context, const std::string& archive, const SegmenterSettings& settings) {
  torch::use_one_thread();
  return read_model(Archive(archive), settings.precision, context.cancelled);
}

}  // namespace

Segmenter::Segmenter(const std::string& archive, const SegmenterSettings& settings, const std::atomic<bool>* cancelled)
    : settings_(settings),
      pool_(settings.threads, torch::use_one_thread),
      model_(load(context(cancelled), archive, settings)),
      gradcam_weights_([&] {
        Context c = context(cancelled);
        return GradCamWeights(c, model_);
      }()) {}

size_t Segmenter::bytes() const { return model_.bytes() + arena_.capacity() + current_.bytes; }

void Segmenter::encode_text(std::span<const int32_t> tokens, std::span<float> embeddings, const std::atomic<bool>* cancelled) {
  const FlushDenormals flush;
  Context c = context(cancelled);
  clip_es::encode_text(c, model_, tokens, embeddings);
}

std::shared_ptr<EncodedImage> Segmenter::encode(const Image& image, StageTimes& times, const std::atomic<bool>* cancelled) {
  auto encoded = std::make_shared<EncodedImage>();
  encode_into(context(cancelled), image, *encoded, times);
  return encoded;
}

void Segmenter::embeddings(const EncodedImage& encoded, float* image, float* patches, const std::atomic<bool>* cancelled) {
  const FlushDenormals flush;
  Context c = context(cancelled);
  const std::vector<double> embedding = image_embedding(model_, encoded.last_block);
  std::copy(embedding.begin(), embedding.end(), image);
  if (patches) patch_embeddings(c, model_, encoded.last_block, patches);
}

void Segmenter::segment(const Image& image, const LabelTexts& texts, std::span<const uint8_t> value, const SegmentSettings& settings,
                        const SegmentOutputs& outputs, StageTimes& times, const std::atomic<bool>* cancelled) {
  encode_into(context(cancelled), image, current_, times);
  segment(current_, texts, value, settings, outputs, times, cancelled);
}

// The first half: what does not depend on words.
void Segmenter::encode_into(Context c, const Image& image, EncodedImage& encoded, StageTimes& times) {
  const FlushDenormals flush;
  const int64_t patch = model_.shape.patch;
  encoded.width = image.width;
  encoded.height = image.height;
  encoded.grid = patch_grid(image.width, image.height, patch, settings_.max_side);
  reserve(model_, encoded);
  const int64_t patches_count = encoded.grid.patches();
  Arena::Scope scope(c.arena);
  const auto patches = c.arena.take<float>(static_cast<size_t>(patches_count * 3 * patch * patch));
  const auto tokens = c.arena.take<float>(static_cast<size_t>((patches_count + 1) * model_.shape.width));
  c.checkpoint();
  {
    Timer timer(times.preprocess);
    preprocess(c, model_, image, settings_.max_side, patches.data());
  }
  Timer timer(times.encode);
  encode_image(c, model_, encoded.grid, patches.data(), tokens.data(), encoded.mean_attention.data());
  run_last_block(c, model_, tokens.data(), encoded.last_block, encoded.mean_attention.data());
}

// The second half: where each word is.
void Segmenter::segment(const EncodedImage& image, const LabelTexts& texts, std::span<const uint8_t> value, const SegmentSettings& settings,
                        const SegmentOutputs& outputs, StageTimes& times, const std::atomic<bool>* cancelled) {
  const FlushDenormals flush;
  Context c = context(cancelled);
  const int64_t labels = texts.labels(), patches = image.grid.patches(), embedding = model_.shape.embedding;
  const auto map_size = static_cast<size_t>(labels * patches);
  const auto text_count = static_cast<size_t>(labels) + texts.background.size() / static_cast<size_t>(embedding);
  Arena::Scope scope(c.arena);
  const auto logits = c.arena.take<float>(text_count), probabilities = c.arena.take<float>(text_count);
  std::span<float> maps = c.arena.take<float>(map_size);
  {
    Timer timer(times.gradcam);
    softmax_gradcam(c, model_, gradcam_weights_, image.last_block, texts, logits.data(), probabilities.data(), maps.data());
  }
  if (settings.refine) {
    Timer timer(times.refine);
    const auto boxes = c.arena.take<uint8_t>(map_size);
    const auto refined = c.arena.take<float>(map_size);
    for (int64_t k = 0; k < labels; ++k)
      box_mask(c, maps.data() + k * patches, image.grid.height, image.grid.width, settings.box, boxes.data() + k * patches);
    refine_cams(c, image.mean_attention.data(), patches, maps.data(), boxes.data(), labels, settings.affinity, refined.data());
    maps = refined;
  }
  Timer timer(times.mask);
  if (outputs.scores) std::copy_n(probabilities.data(), labels, outputs.scores);
  make_pseudo_mask(c, maps.data(), image.grid, value, image.width, image.height, settings.mask, outputs.image);
}

}  // namespace clip_es
