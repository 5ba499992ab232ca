#include "segmenter.h"

#include <algorithm>

#include "cam/embeddings.h"
#include "clip/preprocess.h"

namespace clip_es {

// The first half: the stages that do not depend on words.
void Segmenter::encode_photos(DeviceContext c, const PhotoBatch& batch, StageTimes& times) {
  DeviceArena::Scope scope(c.arena);
  const auto patches = c.arena.take<float>(batch.patches * model().patch_values());
  const auto tokens = c.arena.take<float>(batch.tokens * model().image.width);
  {
    const auto timed = clock_.section(*device_, times, &StageTimes::preprocess);
    for (size_t i = 0, first = 0; i < batch.size(); ++i) {
      c.checkpoint();
      const size_t count = batch.grids[i].patches() * model().patch_values();
      device_->preprocess(c, batch.photos[i], settings_.max_side, patches.subspan(first, count));
      first += count;
    }
  }
  const auto timed = clock_.section(*device_, times, &StageTimes::encode);
  device_->encode_images(c, batch.grids, patches, tokens, batch.mean_attention);
  device_->run_last_block(c, tokens, batch.last_blocks, batch.mean_attention);
}

// The second half: the stages that find each word. scores (K): the labels' probabilities, written when the device has finished.
void Segmenter::segment_photo(DeviceContext c, const Encoding& photo, Request& request, HostSpan<float> scores) {
  const LabelTexts& texts = request.texts;
  const SegmentSettings& settings = request.settings;
  const auto time = [&](double StageTimes::*stage) { return clock_.section(*device_, request.times, stage); };
  c.checkpoint();
  DeviceArena::Scope scope(c.arena);
  const size_t competing = texts.labels() + texts.background.size() / model().shape.embedding;
  const auto logits = c.arena.take<float>(competing), probabilities = c.arena.take<float>(competing);
  const auto new_maps = [&] { return DeviceMaps{c.arena.take<float>(texts.labels() * photo.grid.patches()), texts.labels(), photo.grid}; };
  DeviceMaps maps = new_maps();
  {
    const auto timed = time(&StageTimes::gradcam);
    device_->softmax_gradcam(c, photo.last_block, texts, logits, probabilities, maps);
  }
  device_->copy_to_host(probabilities.first(texts.labels()), scores);
  if (settings.refine) {
    const auto timed = time(&StageTimes::refine);
    const auto boxes = c.arena.take<uint8_t>(maps.size());
    const DeviceMaps refined = new_maps();
    device_->box_mask(c, maps, settings.box, boxes);
    device_->refine_cams(c, photo.mean_attention, maps, boxes, settings.affinity, refined);
    maps = refined;
  }
  if (settings.crf) return segment_by_crf(c, photo, request, maps, scores);
  const auto timed = time(&StageTimes::mask);
  device_->make_pseudo_mask(c, maps, texts.value, photo.size, settings.mask, request.outputs.image);
}

// The dense CRF always runs on the host.
void Segmenter::segment_by_crf(DeviceContext c, const Encoding& photo, Request& request, const DeviceMaps& maps, HostSpan<float> scores) {
  const int64_t pixels = photo.size.pixels(), labels = request.texts.labels();
  HostContext h = host(c.cancelled);
  Arena::Scope scope(h.arena);
  const auto pixel_scores = h.arena.take<float>((labels + 1) * pixels);
  {
    const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
    device_->score_pixels(c, maps, photo.size, request.settings.mask, pixel_scores);
  }
  device_->wait();
  require_finite(scores);
  if (request.outputs.image.maps) std::ranges::copy(pixel_scores.subspan(pixels), request.outputs.image.maps);
  const auto timed = clock_.section(*device_, request.times, &StageTimes::crf);
  const Image image = request.encoded ? request.encoded->photo() : request.image;
  dense_crf(h, {to_rgb(h, image), image.width, image.height, pixel_scores.data(), labels + 1}, *request.settings.crf,
            {.mask = request.outputs.image.mask,
             .confidence = request.outputs.image.confidence,
             .value = request.texts.value,
             .ignore_below = request.settings.mask.ignore_below});
}

}  // namespace clip_es
