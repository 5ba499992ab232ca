#include "segmenter.h"

#include <algorithm>

#include "cam/embeddings.h"
#include "cam/word_maps.h"
#include "clip/preprocess.h"
#include "mask/score_mask.h"

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
  run_crf(h, request, pixel_scores);
}

// Maps by similarity: one pass for all words. scores (K): the largest value of each label's map.
void Segmenter::segment_by_similarity(DeviceContext c, Request& request, HostSpan<float> scores) {
  const LabelTexts& texts = request.texts;
  const SegmentSettings& settings = request.settings;
  const Image image = request.encoded ? request.encoded->photo() : request.image;
  const Windows windows =
      make_windows(*settings.similarity, patch_grid(image.size(), model().shape.patch, settings_.max_side), model().shape.patch);
  const int64_t patches = windows.photo.patches(), labels = texts.labels();
  const auto time = [&](double StageTimes::*stage) { return clock_.section(*device_, request.times, stage); };
  const auto new_maps = [&](int64_t count, const Grid& grid) {
    return DeviceMaps{c.arena.take<float>(count * grid.patches()), count, grid};
  };
  require_competition(texts);
  c.checkpoint();
  DeviceArena::Scope scope(c.arena);
  const auto patch_rows = c.arena.take<float>(patches * model().patch_values());
  const auto features = c.arena.take<float>(windows.patches() * model().shape.embedding);
  const auto attention = c.arena.take<float>(settings.refine ? patches * patches : 0);
  {
    const auto timed = time(&StageTimes::preprocess);
    device_->preprocess(c, image, settings_.max_side, patch_rows);
  }
  {
    const auto timed = time(&StageTimes::encode);
    device_->patch_features(c, *settings.similarity, windows, patch_rows, features, attention);
  }
  const float logit_scale = settings.similarity->logit_scale;
  const DeviceMaps cosines = new_maps(count_words(texts, model().shape.embedding), windows.cells());
  DeviceMaps maps = new_maps(labels + 1, windows.photo);
  {
    const auto timed = time(&StageTimes::gradcam);
    device_->compare_words(c, windows, features, texts, cosines);
    device_->word_maps(c, windows, cosines, texts, logit_scale, maps);
  }
  if (settings.refine) {
    const auto timed = time(&StageTimes::refine);
    const DeviceMaps refined = new_maps(labels + 1, windows.photo);
    device_->refine_word_maps(c, attention, maps, settings.box, settings.affinity, refined);
    maps = refined;
  }
  HostContext h = host(c.cancelled);
  Arena::Scope host_scope(h.arena);
  const auto pixel_scores = h.arena.take<float>((labels + 1) * image.size().pixels());
  {
    const auto timed = time(&StageTimes::mask);
    if (settings.refine) device_->enlarge_maps(c, maps, image.size(), pixel_scores);
    else device_->score_words(c, cosines, texts, logit_scale, image.size(), pixel_scores);
    device_->wait();
    make_score_mask(h, pixel_scores, texts.value, image.size(), settings.mask, request.outputs.image, scores);
  }
  if (settings.crf) run_crf(h, request, pixel_scores);
}

// pixel_scores (1 + K, height, width): the background, then the labels.
void Segmenter::run_crf(HostContext& h, Request& request, HostSpan<const float> pixel_scores) {
  const auto timed = clock_.section(*device_, request.times, &StageTimes::crf);
  const Image image = request.encoded ? request.encoded->photo() : request.image;
  dense_crf(h, {to_rgb(h, image), image.width, image.height, pixel_scores.data(), request.texts.labels() + 1}, *request.settings.crf,
            {.mask = request.outputs.image.mask,
             .confidence = request.outputs.image.confidence,
             .value = request.texts.value,
             .ignore_below = request.settings.mask.ignore_below});
}

}  // namespace clip_es
