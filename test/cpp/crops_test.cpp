// A part of a photo has the embedding of a photo with the same pixels.
#include <algorithm>

#include "check.h"
#include "clip/preprocess.h"
#include "ops/ops.h"
#include "options.h"
#include "segment_job.h"
#include "support.h"

namespace clip_es::crops_test {

using check::largest_difference;

namespace {

// No sides are equal. The first box is larger than the images of the model, the second one smaller, and the third one a single pixel.
constexpr PixelBox kBoxes[] = {{3, 2, 149, 100}, {20, 30, 51, 57}, {149, 112, 150, 113}};

Segmenter small_segmenter(int64_t max_side) { return Segmenter(options().golden + kSmallModel, {.threads = 3, .max_side = max_side}); }

std::vector<float> embeddings_of(Segmenter& segmenter, const Image& image, std::span<const PixelBox> boxes) {
  std::vector<float> embeddings(boxes.size() * segmenter.model().shape.embedding);
  StageTimes times;
  segmenter.embed_crops(image, boxes, embeddings, times);
  CHECK(times.encode > 0);
  return embeddings;
}

// The pixels of a box, copied one by one, with the longer side made `side` pixels long, and the other one stretched to whole patches.
npy::Photo enlarged(const npy::Photo& photo, const PixelBox& box, int64_t side, int64_t patch) {
  const int64_t width = box.right - box.left, height = box.bottom - box.top, longest = std::max(width, height);
  std::vector<uint8_t> pixels;
  for (int64_t y = box.top; y < box.bottom; ++y)
    for (int64_t x = box.left; x < box.right; ++x)
      for (int64_t c = 0; c < 3; ++c) pixels.push_back(photo.rgb[3 * (y * photo.width + x) + c]);
  const auto whole_patches = [&](int64_t length) { return (side * length + longest * patch - 1) / (longest * patch) * patch; };
  npy::Photo result;
  result.width = whole_patches(width);
  result.height = whole_patches(height);
  result.rgb.resize(3 * result.width * result.height);
  ops::resize_bicubic(test_context(), pixels.data(), width, height, result.width, result.height, result.rgb.data());
  return result;
}

std::vector<float> embedding_of(Segmenter& segmenter, const npy::Photo& photo) {
  StageTimes times;
  const auto encoded = segmenter.encode({photo.rgb.data(), photo.width, photo.height, 3}, times);
  std::vector<float> embedding(segmenter.model().shape.embedding);
  segmenter.embeddings(*encoded, embedding, {});
  return embedding;
}

}  // namespace

TEST("a crop has the embedding of a photo with its pixels, enlarged to the size of the model's images") {
  Segmenter segmenter = small_segmenter(0);
  const SegmentJob job;
  const int64_t side = segmenter.model().shape.resolution, patch = segmenter.model().shape.patch;
  for (const PixelBox& box : std::span(kBoxes).subspan(1)) {  // a larger box is resized twice
    const std::vector<float> got = embeddings_of(segmenter, job.image(), {&box, 1});
    CHECK_BELOW(largest_difference(got, embedding_of(segmenter, enlarged(job.photo, box, side, patch))), 1e-5);
  }
}

TEST("a crop larger than the model's images has the embedding of a photo that maxSide reduces to that size") {
  Segmenter segmenter = small_segmenter(0);
  const int64_t side = segmenter.model().shape.resolution;
  Segmenter reducing = small_segmenter(side);
  const SegmentJob job;
  const npy::Photo corner = corner_of(job.photo, 149, 100);
  CHECK(corner.width > side);
  const PixelBox box{0, 0, 149, 100};
  CHECK_BELOW(largest_difference(embeddings_of(segmenter, job.image(), {&box, 1}), embedding_of(reducing, corner)), 1e-5);
}

TEST("crops of a batch have the embeddings of single crops, for every layout of pixels") {
  Segmenter segmenter = small_segmenter(32);  // the size of photos does not matter for crops
  const SegmentJob job;
  const auto width = job.photo.width, height = job.photo.height;
  const int64_t row_bytes = 4 * width + 12;
  std::vector<uint8_t> bgra(row_bytes * height, 99);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c) bgra[y * row_bytes + 4 * x + c] = job.photo.rgb[3 * (y * width + x) + 2 - c];
  const std::vector<float> together = embeddings_of(segmenter, job.image(), kBoxes);
  CHECK(embeddings_of(segmenter, {bgra.data(), width, height, 4, row_bytes, true}, kBoxes) == together);
  std::vector<float> one_by_one;
  for (const PixelBox& box : kBoxes) {
    const std::vector<float> one = embeddings_of(segmenter, job.image(), {&box, 1});
    one_by_one.insert(one_by_one.end(), one.begin(), one.end());
  }
  CHECK_BELOW(largest_difference(together, one_by_one), 1e-5);
  const uint64_t settled = segmenter.allocations();
  CHECK(embeddings_of(segmenter, job.image(), kBoxes) == together);
  CHECK(segmenter.allocations() == settled);
}

TEST("crops are not encoded if their job is cancelled") {
  Segmenter segmenter = small_segmenter(0);
  const SegmentJob job;
  std::vector<float> embeddings(std::size(kBoxes) * segmenter.model().shape.embedding, kUntouched);
  const std::atomic<bool> cancelled{true};
  StageTimes times;
  bool stopped = false;
  try {
    segmenter.embed_crops(job.image(), kBoxes, embeddings, times, &cancelled);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped);
  CHECK(is_untouched(embeddings));
}

}  // namespace clip_es::crops_test
