#include "segmenter.h"

#include <algorithm>
#include <functional>

#include "cam/embeddings.h"
#include "cam/word_maps.h"
#include "clip/preprocess.h"

namespace clip_es {
namespace {

bool needs_pixel_scores(const SegmentSettings& settings) { return settings.crf || settings.min_score != 0; }

}  // namespace

// The first half: the stages that do not depend on words.
void Segmenter::encode_photos(DeviceContext c, const PhotoBatch& batch, int64_t max_side, StageTimes& times) {
  DeviceArena::Scope scope(c.arena);
  const auto patches = c.arena.take<float>(batch.patches * model().patch_values());
  const auto tokens = c.arena.take<float>(batch.tokens * model().image.width);
  {
    const auto timed = clock_.section(*device_, times, &StageTimes::preprocess);
    device_->preprocess(c, batch.photos, max_side, patches);
  }
  const auto timed = clock_.section(*device_, times, &StageTimes::encode);
  device_->encode_images(c, batch.grids, patches, tokens, batch.mean_attention);
  device_->run_last_block(c, tokens, batch.last_blocks, batch.mean_attention);
}

// The second half: the stages that find each word, for several photos at once.
void Segmenter::segment_photos(DeviceContext c, HostSpan<PhotoWithWords> photos, StageTimes& times) {
  c.checkpoint();
  DeviceArena::Scope scope(c.arena);
  Arena::Scope host_scope(arena_);
  make_maps(c, photos, times);
  make_masks(c, photos, times);
  for (const PhotoWithWords& photo : photos)
    if (needs_pixel_scores(photo.request->settings)) try_request(*photo.request, [&] { mask_from_scores(photo); });
}

// Maps by similarity: one pass for all words. scores (K): the largest value of each label's map.
void Segmenter::segment_by_similarity(DeviceContext c, Request& request, HostSpan<float> scores) {
  c.checkpoint();
  HostContext h = host(c.cancelled);
  Arena::Scope scope(h.arena);
  const PixelScores pixel_scores = take_scores(h, request.texts.labels(), request.photo().size());
  score_by_similarity(c, request.photo(), settings_.max_side, request, pixel_scores);
  make_mask(h, request, pixel_scores, scores);
}

// The mean over several views of the photo. Only one view is in memory at a time. scores (K): the mean probabilities; with similarity the
// largest value of each label's mean map.
void Segmenter::segment_views(DeviceContext c, Request& request, HostSpan<float> scores) {
  const PhotoSize size = request.photo().size();
  const int64_t labels = request.texts.labels(), mirrorings = request.settings.flip ? 2 : 1;
  const int64_t views = std::ssize(request.settings.scales) * mirrorings;
  HostContext h = host(c.cancelled);
  Arena::Scope scope(h.arena);
  const PixelScores sum = take_scores(h, labels, size), one = take_scores(h, labels, size);
  const auto score = h.arena.take<float>(labels);
  std::ranges::fill(sum.data, 0.0f);
  std::ranges::fill(scores, 0.0f);
  std::ranges::fill(score, 0.0f);  // similarity writes none
  device_->wait();                 // the views use the memory of the batch
  for (int64_t i = 0; i < views; ++i) {
    const View view{request.settings.scales[i / mirrorings], i % mirrorings == 1};
    score_view(c, view, request, one, score);
    const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
    add_scores(h, one, view.mirrored, sum);
    std::ranges::transform(scores, score, scores.begin(), std::plus());
  }
  divide(sum.data, views);
  divide(scores, views);
  make_mask(h, request, sum, scores);
}

// The scores of one view, at every pixel of the photo, and with GradCAM the labels' probabilities. Waits for the device.
void Segmenter::score_view(DeviceContext c, const View& view, Request& request, const PixelScores& pixel_scores, HostSpan<float> scores) {
  c.checkpoint();
  HostContext h = host(c.cancelled);
  Arena::Scope host_scope(h.arena);
  DeviceArena::Scope scope(c.arena);
  const Image image = [&] {
    const auto timed = clock_.section(*device_, request.times, &StageTimes::preprocess);
    return make_view(h, request.photo(), view, model().shape.patch, settings_.max_side);
  }();
  if (request.settings.similarity) {
    score_by_similarity(c, image, 0, request, pixel_scores);
    return;
  }
  photos_.photos = {image};
  photos_.lay_out(model(), device_->last_block_shape(), 0, device_->memory(), memory_);
  encode_photos(c, photos_, 0, request.times);
  PhotoWithWords photo{&request, c.cancelled, photos_.encoding(0), scores, {}};
  make_maps(c, {&photo, 1}, request.times);
  const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
  device_->score_pixels(c, photo.maps, pixel_scores.size, pixel_scores.all_labels());
  std::ranges::fill(pixel_scores.background(), 0.0f);  // with GradCAM it is computed from the mean of the maps
  device_->wait();
}

// Sets the maps of the photos, refined if the settings say so. The caller's scopes, of the device and of the host, keep the memory.
void Segmenter::make_maps(DeviceContext c, HostSpan<PhotoWithWords> photos, StageTimes& times) {
  const auto new_maps = [&](const PhotoWithWords& photo) {
    const int64_t labels = photo.request->texts.labels();
    return DeviceMaps{c.arena.take<float>(labels * photo.encoding.grid.patches()), labels, photo.encoding.grid};
  };
  const auto gradcams = arena_.take<GradCamOfPhoto>(photos.size());
  for (size_t i = 0; i < photos.size(); ++i) {
    PhotoWithWords& photo = photos[i];
    photo.maps = new_maps(photo);
    gradcams[i] = {photo.encoding.last_block, photo.request->texts, photo.maps, {}, photo.scores};
  }
  {
    const auto timed = clock_.section(*device_, times, &StageTimes::gradcam);
    device_->softmax_gradcam(c, gradcams);
  }
  const auto boxes = arena_.take<BoxesOfPhoto>(photos.size());
  const auto refinements = arena_.take<RefinementOfPhoto>(photos.size());
  size_t count = 0;  // of the photos that are refined
  for (PhotoWithWords& photo : photos) {
    const SegmentSettings& settings = photo.request->settings;
    if (!settings.refine) continue;
    boxes[count] = {photo.maps, settings.box, c.arena.take<uint8_t>(photo.maps.size())};
    const DeviceMaps refined = new_maps(photo);
    refinements[count] = {photo.encoding.mean_attention, photo.maps, boxes[count].boxes, settings.affinity, refined};
    photo.maps = refined;
    ++count;
  }
  if (count == 0) return;
  const auto timed = clock_.section(*device_, times, &StageTimes::refine);
  device_->box_mask(c, boxes.first(count));
  device_->refine_cams(c, refinements.first(count));
}

// The masks of the photos that need no score of each pixel.
void Segmenter::make_masks(DeviceContext c, HostSpan<const PhotoWithWords> photos, StageTimes& times) {
  const auto masks = arena_.take<MaskOfPhoto>(photos.size());
  size_t count = 0;
  for (const auto& [request, cancelled, encoding, scores, maps] : photos)
    if (!needs_pixel_scores(request->settings))
      masks[count++] = {maps, request->texts.value, encoding.size, request->settings.mask, request->outputs.image};
  if (count == 0) return;
  const auto timed = clock_.section(*device_, times, &StageTimes::mask);
  device_->make_pseudo_mask(c, masks.first(count));
}

// The mask of a photo with a CRF or a smallest score: the last steps run on the host. Waits for the device.
void Segmenter::mask_from_scores(const PhotoWithWords& photo) {
  Request& request = *photo.request;
  DeviceContext c = on_device(photo.cancelled);
  HostContext h = host(photo.cancelled);
  Arena::Scope host_scope(h.arena);
  const PixelScores pixel_scores = take_scores(h, photo.maps.labels, photo.encoding.size);
  {
    const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
    device_->score_pixels(c, photo.maps, pixel_scores.size, pixel_scores.all_labels());
    device_->wait();
  }
  make_mask(h, request, pixel_scores, photo.scores);
}

// The device computes the features of the patches, and the host compares them with the words.
void Segmenter::score_by_similarity(DeviceContext c, const Image& image, int64_t max_side, Request& request,
                                    const PixelScores& pixel_scores) {
  HostContext h = host(c.cancelled);
  Arena::Scope scope(h.arena);
  const SegmentSettings& settings = request.settings;
  const HostMaps maps = similarity_maps(c, h, image, max_side, request);
  const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
  if (settings.refine) enlarge_maps(h, maps, pixel_scores.size, pixel_scores.data);
  else score_words(h, maps, request.texts, settings.similarity->logit_scale, pixel_scores.size, pixel_scores.data);
}

// With refinement, the maps of the background and the labels (1 + K), else the cosines of all words, which are enlarged before the softmax.
// The caller's scope keeps the maps.
HostMaps Segmenter::similarity_maps(DeviceContext c, HostContext& h, const Image& image, int64_t max_side, Request& request) {
  const LabelTexts& texts = request.texts;
  const SegmentSettings& settings = request.settings;
  const int64_t patch = model().shape.patch, embedding = model().shape.embedding;
  const Windows windows = make_windows(*settings.similarity, patch_grid(image.size(), patch, max_side), patch);
  const int64_t patches = windows.photo.patches();
  const auto time = [&](double StageTimes::*stage) { return clock_.section(*device_, request.times, stage); };
  const auto new_maps = [&](int64_t count, const Grid& grid) { return HostMaps{h.arena.take<float>(count * grid.patches()), count, grid}; };
  require_competition(texts);
  const HostMaps cosines = new_maps(count_words(texts, embedding), windows.cells());
  const HostMaps maps = settings.refine ? new_maps(texts.labels() + 1, windows.photo) : HostMaps{};
  const HostMaps refined = settings.refine ? new_maps(texts.labels() + 1, windows.photo) : HostMaps{};
  Arena::Scope host_scope(h.arena);
  DeviceArena::Scope scope(c.arena);
  const auto features = h.arena.take<float>(windows.patches() * embedding);
  const auto attention = h.arena.take<float>(settings.refine ? patches * patches : 0);
  const auto patch_rows = c.arena.take<float>(patches * model().patch_values());
  {
    const auto timed = time(&StageTimes::preprocess);
    device_->preprocess(c, {&image, 1}, max_side, patch_rows);
  }
  {
    const auto timed = time(&StageTimes::encode);
    device_->patch_features(c, *settings.similarity, windows, patch_rows, features, attention);
  }
  {
    const auto timed = time(&StageTimes::gradcam);
    compare_words(h, windows, features, texts, cosines);
  }
  if (!settings.refine) return cosines;
  const auto timed = time(&StageTimes::refine);
  word_maps(h, windows, cosines, texts, settings.similarity->logit_scale, maps);
  refine_word_maps(h, attention, maps, settings.box, settings.affinity, refined);
  return refined;
}

// The last steps, on the host. scores: as choose_labels() takes them.
void Segmenter::make_mask(HostContext& h, Request& request, const PixelScores& pixel_scores, HostSpan<float> scores) {
  const KeptLabels kept = choose_labels(h, request, pixel_scores, scores);
  if (request.settings.crf) return run_crf(h, request, kept);
  const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
  make_score_mask(h, kept, request.settings.mask, request.outputs.image);
}

// Writes the maps, and returns the labels that may get pixels, with the background's score. scores (K): with GradCAM the labels'
// probabilities; with similarity they are written here.
KeptLabels Segmenter::choose_labels(HostContext& h, Request& request, const PixelScores& pixel_scores, HostSpan<float> scores) {
  const SegmentSettings& settings = request.settings;
  const auto timed = clock_.section(*device_, request.times, &StageTimes::mask);
  if (settings.similarity) largest_scores(h, pixel_scores, scores);
  require_finite(scores);
  if (request.outputs.image.maps) copy_maps(pixel_scores, scores, settings.min_score, request.outputs.image.maps);
  const KeptLabels kept = keep_labels(h, pixel_scores, scores, settings.min_score, request.texts.value);
  if (settings.similarity) adjust_background(h, kept.scores, settings.mask);
  else background_from_maps(h, settings.mask, kept.scores.labels, kept.scores.size.pixels(), kept.scores.data.data());
  return kept;
}

void Segmenter::run_crf(HostContext& h, Request& request, const KeptLabels& kept) {
  const auto timed = clock_.section(*device_, request.times, &StageTimes::crf);
  const Image image = request.photo();
  dense_crf(h, {to_rgb(h, image), image.width, image.height, kept.scores.data.data(), kept.scores.labels + 1}, *request.settings.crf,
            {.mask = request.outputs.image.mask,
             .confidence = request.outputs.image.confidence,
             .value = kept.value,
             .ignore_below = request.settings.mask.ignore_below});
}

}  // namespace clip_es
