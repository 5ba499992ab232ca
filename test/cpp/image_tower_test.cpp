// The contribution of each block to the mean attention, and patch embeddings.
#include "clip/image_tower.h"

#include <cmath>

#include "cam/embeddings.h"
#include "check.h"
#include "support.h"

namespace clip_es::image_tower_test {

TEST("the mean attention covers the last 8 blocks, or all blocks of a model that has fewer") {
  Random random(3);
  const int64_t width = 64;
  const Grid grid{2, 3};
  const auto n = static_cast<float>(grid.tokens());
  for (const int64_t layers : {1, 2, 3, 7, 8, 9, 12}) {
    Model model{};
    model.shape = {.patch = 2, .width = width, .layers = layers, .resolution = 4, .embedding = 8, .context = 4, .vocabulary = 8};
    model.image = {width, 1, Activation::kGelu};
    model.class_embedding = random.normal(width);
    model.positional_embedding = random.normal(5 * width);
    model.ln_pre = {std::vector<float>(width, 1.0f), std::vector<float>(width, 0.0f)};
    ImageTower tower{Linear({random.normal(width * 12), {}, width, 12}, Precision::kFloat32), {}, Precision::kFloat32};
    for (int64_t i = 0; i + 1 < layers; ++i) {
      BlockTensors block = random_block(random, model.image).fast;
      std::ranges::fill(block.in_proj.weight, 0.0f);  // without queries and keys, each token attends equally to all
      std::ranges::fill(block.in_proj.bias, 0.0f);
      tower.blocks.push_back(pack_block(block, Precision::kFloat32));
    }
    const std::vector<float> patches = random.normal(grid.patches() * 12);
    std::vector<float> tokens(grid.tokens() * width), mean(grid.patches() * grid.patches(), NAN);
    const HostSpan<float> means[] = {mean};
    encode_images(test_context(), model, tower, {&grid, 1}, patches, tokens, means);
    const auto counted = static_cast<float>(std::min<int64_t>(layers, 8));
    CHECK(affinity_weight(model) == 1 / counted);
    for (const float value : mean) CHECK_BELOW(std::abs(value - (counted - 1) / counted / n), 1e-6);  // the last block adds its own share
  }
}

TEST("patch embeddings are projections of ln_post's output, of length one; a projection that is zero stays zero") {
  Random random(4);
  TestModel test = random_last_block(random, {64, 1, Activation::kGelu}, 16);
  const int64_t patches = 5, width = 64, size = 16;
  std::vector<float> z_hat = random.normal(patches * width), got(patches * size, NAN);
  const HostLastBlock last{.tokens = patches + 1, .z_hat = z_hat};
  patch_embeddings(test_context(), test.fast, last, got);
  for (int64_t i = 0; i < patches; ++i) {
    std::vector<double> row(size);
    double squares = 0;
    for (int64_t e = 0; e < size; ++e) {
      for (int64_t c = 0; c < width; ++c)
        row[e] += (static_cast<double>(z_hat[i * width + c]) * test.fast.ln_post.gamma[c] + test.fast.ln_post.beta[c]) *
                  test.fast.image_projection[c * size + e];
      squares += row[e] * row[e];
    }
    for (int64_t e = 0; e < size; ++e) CHECK_BELOW(std::abs(got[i * size + e] - row[e] / std::sqrt(squares)), 1e-5);
  }
  std::ranges::fill(test.fast.image_projection, 0.0f);
  patch_embeddings(test_context(), test.fast, last, got);
  CHECK(got == std::vector<float>(patches * size));
}

}  // namespace clip_es::image_tower_test
