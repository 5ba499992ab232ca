// What an encoded photo holds, and its embeddings.
#include <algorithm>
#include <cmath>
#include <utility>

#include "check.h"
#include "clip/preprocess.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"

namespace clip_es::encoded_photo_test {

namespace {

struct Encoder {
  SegmentJob job;
  Segmenter segmenter;
  StageTimes times;

  explicit Encoder(int64_t max_side = 0) : segmenter(options().golden + kSmallModel, {.threads = 2, .max_side = max_side}) {}
  auto encode() { return segmenter.encode(job.image(), times); }
};

}  // namespace

TEST("max_side limits the grid of an encoded photo; 0 is no limit") {
  for (const int64_t max_side : {0, 40, 64, 150, 1024}) {
    Encoder s(max_side);
    const Grid got = s.encode()->encoding.grid;
    const Grid want = patch_grid({150, 113}, s.segmenter.model().shape.patch, max_side);
    CHECK(got.height == want.height && got.width == want.width);
    if (max_side == 64) CHECK(got.width == 64 / s.segmenter.model().shape.patch);
  }
}

TEST("an encoded photo holds the floats of its encoding and its pixels, and no more") {
  Encoder s;
  const Model& model = s.segmenter.model();
  const auto encoded = s.encode();
  const Grid& grid = encoded->encoding.grid;
  const size_t floats = last_block_floats({model.image.width, model.last_hidden, model.image.heads}, grid.tokens());
  // For each token y, qkv, attended and log_sum_exp; for each patch u, omega, two deviations, z_hat, h_hat_out and z_hat_out; and pooled.
  const int64_t width = model.image.width;
  CHECK(std::cmp_equal(floats,
                       grid.tokens() * (5 * width + model.image.heads) + grid.patches() * (2 * model.last_hidden + 2 + 3 * width) + width));
  CHECK(encoded->memory.bytes() == (floats + grid.patches() * grid.patches()) * sizeof(float));
  CHECK(encoded->rgb == s.job.photo.rgb);
}

TEST("embeddings of an encoded photo have length one, and those of the patches are optional") {
  Encoder s;
  const auto encoded = s.encode();
  const int64_t size = s.segmenter.model().shape.embedding, patches = encoded->encoding.grid.patches();
  std::vector<float> alone(size, kUntouched), image(size, kUntouched), all(patches * size, kUntouched);
  s.segmenter.embeddings(*encoded, alone, {});
  s.segmenter.embeddings(*encoded, image, all);
  CHECK(alone == image);
  const auto length = [](std::span<const float> row) {
    double squares = 0;
    for (const float value : row) squares += static_cast<double>(value) * value;
    return std::sqrt(squares);
  };
  CHECK_BELOW(std::abs(length(image) - 1), 1e-6);
  for (int64_t i = 0; i < patches; ++i) CHECK_BELOW(std::abs(length(std::span(all).subspan(i * size, size)) - 1), 1e-6);
}

TEST("max_side rounds the shorter side to the nearest pixel") {
  const auto is = [](const PhotoSize& photo, int64_t max_side, const PhotoSize& want) { return reduced_size(photo, max_side) == want; };
  CHECK(is({150, 113}, 150, {150, 113}) && is({150, 113}, 149, {149, 112}));  // 112.25
  CHECK(is({300, 101}, 200, {200, 67}) && is({101, 300}, 200, {67, 200}));    // 67.33
  CHECK(is({300, 100}, 200, {200, 67}) && is({400, 101}, 200, {200, 51}));    // 66.67, and 50.5
  CHECK(is({1000, 1}, 10, {10, 1}) && is({1000, 700}, 0, {1000, 700}));
}

}  // namespace clip_es::encoded_photo_test
