// The parts of maps by similarity against plain loops: outliers, weights of similar patches, windows, and which blocks are used.
#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <set>

#include "cam/changed_block.h"
#include "cam/last_block.h"
#include "cam/middle_blocks.h"
#include "cam/token_similarity.h"
#include "cam/windows.h"
#include "check.h"
#include "support.h"

namespace clip_es::similarity_parts_test {

using check::largest_difference;

namespace {

constexpr std::pair<int64_t, int64_t> kSizes[] = {{1, 5}, {2, 1}, {3, 16}, {31, 7}, {32, 33}, {70, 20}};  // patches, width

double product(std::span<const float> rows, int64_t width, int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t c = 0; c < width; ++c) sum += static_cast<double>(rows[i * width + c]) * rows[j * width + c];
  return sum;
}

std::vector<uint8_t> plain_outliers(std::span<const float> patches, int64_t count, double share) {
  const int64_t width = std::ssize(patches) / count, k = std::min<int64_t>(30, count - 1);
  if (k < 1) return std::vector<uint8_t>(count, 0);
  std::vector<std::vector<std::pair<double, int64_t>>> nearest(count);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < count; ++j) {
      double squared = 0;
      for (int64_t c = 0; c < width; ++c) squared += std::pow(static_cast<double>(patches[i * width + c]) - patches[j * width + c], 2);
      if (j != i) nearest[i].push_back({squared, j});
    }
    std::ranges::sort(nearest[i]);
  }
  const auto reach = [&](int64_t i) { return std::max<double>(nearest[i][k - 1].first, FLT_MIN); };
  std::vector<double> factor(count, 0);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t n = 0; n < k; ++n) factor[i] += reach(i) / reach(nearest[i][n].second) / static_cast<double>(k);
  std::vector<double> sorted = factor;
  std::ranges::sort(sorted);
  const double at = (1 - share) * static_cast<double>(count - 1), below = std::floor(at);
  const double low = sorted[static_cast<size_t>(below)], high = sorted[std::min<size_t>(static_cast<size_t>(below) + 1, count - 1)];
  std::vector<uint8_t> outlier;
  for (const double value : factor) outlier.push_back(value > low + (at - below) * (high - low));
  return outlier;
}

std::set<int64_t> needed_outputs(const SimilaritySettings& settings, int64_t layers) {
  std::set<int64_t> outputs;
  for_needed_outputs(settings, layers, [&](int64_t output) { outputs.insert(output); });
  return outputs;
}

}  // namespace

TEST("outliers equal those of the plain local outlier factor, also for patches far from zero") {
  Random random(3);
  // With 3 to 31 patches, two that are farthest from each other have the same factor, which rounding can change.
  for (const auto& [count, width] : {std::pair<int64_t, int64_t>{1, 5}, {2, 1}, {33, 7}, {40, 16}, {70, 20}})
    for (const float offset : {0.0f, 3000.0f})
      for (const float share : {0.05f, 0.3f, 1.0f})
        for (const int threads : {1, 3}) {
          std::vector<float> patches = random.normal(count * width);
          for (int64_t i = 0; i < count; i += 9)
            for (int64_t c = 0; c < width; ++c) patches[i * width + c] *= static_cast<float>(2 + i);
          for (int64_t i = 0; i < count; ++i) patches[i * width] += offset;
          std::vector<uint8_t> outlier(count, 7);
          find_outliers(context_with(threads), patches, share, outlier);
          CHECK(outlier == plain_outliers(patches, count, share));
        }
}

TEST("equal patches are no outliers, and a patch beside them is one") {
  std::vector<float> patches(40 * 3, 2.0f);
  std::vector<uint8_t> outlier(40, 7);
  find_outliers(test_context(), patches, 0.05f, outlier);
  CHECK(std::ranges::count(outlier, 0) == 40);
  patches[17 * 3] = 5;
  find_outliers(test_context(), patches, 0.01f, outlier);
  CHECK(outlier[17] == 1 && std::ranges::count(outlier, 0) == 39);
}

TEST("each outlier, at any place of the grid, becomes the mean of its good neighbours, or stays without one") {
  Random random(5);
  for (const Grid grid : {Grid{1, 1}, {1, 6}, {5, 1}, {2, 2}, {6, 7}})
    for (const int sixth : {0, 2, 5, 6}) {
      const int64_t width = 11, count = grid.patches();
      std::vector<float> patches = random.normal(count * width);
      std::vector<uint8_t> outlier = random.bytes(count, 6);
      for (uint8_t& value : outlier) value = value < sixth;
      std::vector<double> want(patches.begin(), patches.end());
      for (int64_t i = 0; i < count; ++i) {
        std::vector<int64_t> good;
        for (int64_t j = 0; j < count; ++j)
          if (std::abs(i / grid.width - j / grid.width) <= 1 && std::abs(i % grid.width - j % grid.width) <= 1 && !outlier[j])
            good.push_back(j);
        for (int64_t c = 0; c < width && outlier[i] && !good.empty(); ++c) {
          want[i * width + c] = 0;
          for (const int64_t j : good) want[i * width + c] += static_cast<double>(patches[j * width + c]) / std::ssize(good);
        }
      }
      repair_patches(test_context(), outlier, grid, patches);
      CHECK_BELOW(largest_difference(patches, want), 1e-6);
    }
}

TEST("the similarity of patches is their cosine, and that of a patch of zeros is 0") {
  Random random(6);
  for (const auto& [count, width] : kSizes) {
    std::vector<float> patches = random.normal(count * width, 3), similarity(count * count);
    if (count > 2) std::fill_n(patches.begin() + width, width, 0.0f);
    std::vector<double> want;
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < count; ++j) {
        const double norms = std::sqrt(product(patches, width, i, i) * product(patches, width, j, j));
        want.push_back(norms > 0 ? product(patches, width, i, j) / norms : 0);
      }
    patch_similarity(test_context(), patches, count, similarity);
    CHECK_BELOW(largest_difference(similarity, want), 2e-6);
  }
}

TEST(
    "the weights of an average are the similarities of at least 0.4 divided by their sum; attention is the softmax of those from the mean "
    "on") {
  Random random(7);
  for (const int64_t count : {1, 2, 17, 50})
    for (const int threads : {1, 3}) {
      std::vector<float> averaging = random.uniform(count * count, -1, 1);
      averaging[count - 1] = kLeastSimilarity;
      if (count > 1) std::fill_n(averaging.begin() + count, count, 0.39f);
      std::vector<float> attention = averaging;
      for (int64_t i = 0; i < count; ++i) attention[i * count + i] = 1;  // as cosines have, so that each row has one above the mean
      double mean = 0;
      for (const float value : attention) mean += static_cast<double>(value) / static_cast<double>(count * count);
      std::vector<double> want_averaging, want_attention;
      for (int64_t i = 0; i < count; ++i) {
        const auto row = std::span(averaging).subspan(i * count, count), own = std::span(attention).subspan(i * count, count);
        double sum = 1e-6, exponentials = 0;
        for (const float value : row) sum += value < 0.4f ? 0 : value;
        for (const float value : own) exponentials += value < mean ? 0 : std::exp(3 * (value - 1.0));
        for (const float value : row) want_averaging.push_back(value < 0.4f ? 0 : value / sum);
        for (const float value : own) want_attention.push_back(value < mean ? 0 : std::exp(3 * (value - 1.0)) / exponentials);
      }
      to_averaging_weights(context_with(threads), count, averaging);
      to_attention(context_with(threads), count, attention);
      CHECK_BELOW(largest_difference(averaging, want_averaging), 1e-6);
      CHECK_BELOW(largest_difference(attention, want_attention), 1e-6);
    }
  std::vector<float> equal(9, 0.5f);
  to_attention(test_context(), 3, equal);
  CHECK_BELOW(largest_difference(equal, std::vector<double>(9, 1.0 / 3)), 1e-6);
}

TEST("windows have the size of whole patches, begin a stride apart and end with the photo") {
  using Places = std::vector<int64_t>;
  const Windows whole = make_windows({}, {21, 28}, 16);
  CHECK(whole.whole && whole.count() == 1 && whole.patches() == 588 && whole.cells().height == 21 && whole.cells().width == 28);
  CHECK(whole.window.height == 21 && whole.window.width == 28 && whole.rows == Places{0} && whole.columns == Places{0});
  const struct {
    int64_t window, stride, patch;
    Grid photo, side;
    Places rows, columns;
  } cases[] = {
      {224, 112, 16, {14, 15}, {14, 14}, {0}, {0, 1}},
      {224, 112, 16, {15, 29}, {14, 14}, {0, 1}, {0, 7, 14, 15}},
      {224, 112, 16, {21, 28}, {14, 14}, {0, 7}, {0, 7, 14}},
      {225, 112, 16, {16, 15}, {15, 15}, {0, 1}, {0}},
      {100, 0, 16, {10, 9}, {7, 7}, {0, 3}, {0, 2}},
      {100, 5, 16, {7, 9}, {7, 7}, {0}, {0, 1, 2}},
      {500, 200, 16, {3, 5}, {3, 5}, {0}, {0}},
      {64, 127, 32, {4, 8}, {2, 2}, {0, 2}, {0, 3, 6}},
      {1, 1, 16, {1, 2}, {1, 1}, {0}, {0, 1}},
  };
  for (const auto& [window, stride, patch, photo, side, rows, columns] : cases) {
    const Windows found = make_windows({.window = window, .stride = stride}, photo, patch);
    CHECK(found.rows == rows && found.columns == columns && !found.whole && found.patch == patch);
    CHECK(found.window.height == side.height && found.window.width == side.width);
    CHECK(found.count() == std::ssize(rows) * std::ssize(columns) && found.patches() == found.count() * side.patches());
    CHECK(found.cells().height == photo.height * patch && found.cells().width == photo.width * patch);
  }
}

TEST("the blocks of the papers are found at the same depth in models of 1 to 24 blocks") {
  using Outputs = std::set<int64_t>;
  const SimilaritySettings mix{.mix = 0.3f}, middle{.mid_attention = true}, aggregate{.aggregate = true}, fuse{.fuse = true};
  CHECK(needed_outputs({}, 12).empty());
  CHECK((needed_outputs(mix, 12) == Outputs{5, 6, 7, 8} && needed_outputs(fuse, 12) == Outputs{4, 5, 6, 7, 8, 9, 10}));
  CHECK((needed_outputs(middle, 12) == Outputs{9} && needed_outputs(aggregate, 12) == Outputs{4, 9}));
  CHECK((needed_outputs(mix, 24) == Outputs{11, 12, 13, 14, 15, 16, 17} && needed_outputs(aggregate, 24) == Outputs{8, 18}));
  CHECK(
      (needed_outputs(mix, 3) == Outputs{1} && needed_outputs(fuse, 3) == Outputs{1, 2} && needed_outputs(aggregate, 3) == Outputs{1, 2}));
  CHECK((needed_outputs(mix, 1) == Outputs{0} && needed_outputs(fuse, 1) == Outputs{0} && needed_outputs(aggregate, 1) == Outputs{0}));
  CHECK(block_at(12, 12) == 11 && block_at(1, 12) == 1 && block_at(1, 2) == 1 && block_at(9, 4) == 3 && block_at(4, 4) == 1);
}

TEST("the factors of the Gaussian prior follow its formula") {
  Arena::Scope scope(test_context().arena);
  for (const float deviation : {0.5f, 5.0f}) {
    const std::span<float> factors = gaussian(test_context().arena, 9, deviation);
    CHECK(factors.size() == 9);
    for (int d = 0; d < 9; ++d) CHECK_BELOW(std::abs(factors[d] - std::exp(-d * d / (2.0 * deviation * deviation))), 1e-7);
  }
}

TEST(
    "the activations of the last block have their sizes, in bfloat16 half of them, fill their memory, and are contiguous for all images "
    "together") {
  std::vector<HostLastBlock> images{{.tokens = 5}, {.tokens = 2}, {.tokens = 10}};
  struct Part {
    HostSpan<float> HostLastBlock::*span;
    std::array<int64_t, 3> size;  // for each token, patch and image
    bool is_product;              // of the type of products
  };
  const Part parts[] = {{&HostLastBlock::y, {8, 0, 0}, true},         {&HostLastBlock::qkv, {24, 0, 0}, true},
                        {&HostLastBlock::attended, {8, 0, 0}, true},  {&HostLastBlock::log_sum_exp, {2, 0, 0}, false},
                        {&HostLastBlock::u, {0, 20, 0}, true},        {&HostLastBlock::omega, {0, 20, 0}, true},
                        {&HostLastBlock::rstd_2, {0, 1, 0}, false},   {&HostLastBlock::rstd_post, {0, 1, 0}, false},
                        {&HostLastBlock::z_hat, {0, 8, 0}, false},    {&HostLastBlock::h_hat_out, {0, 8, 0}, true},
                        {&HostLastBlock::z_hat_out, {0, 8, 0}, true}, {&HostLastBlock::pooled, {0, 0, 8}, false}};
  std::vector<float> memory;
  for (const bool bfloat16 : {true, false}) {
    const LastBlockShape shape{.width = 8, .hidden = 20, .heads = 2, .bfloat16 = bfloat16};
    size_t total = 0;
    for (const HostLastBlock& image : images) total += last_block_floats(shape, image.tokens);
    memory.resize(total);
    lay_out_last_blocks(shape, std::span(images), HostSpan<float>(memory));
    std::vector<int> owners(total, 0);
    for (const auto& [span, size, is_product] : parts) {
      const int64_t in_float = is_product && bfloat16 ? 2 : 1;
      for (const HostLastBlock& image : images) {
        CHECK(in_float * std::ssize(image.*span) == image.tokens * size[0] + image.patches() * size[1] + size[2]);
        for (const float& value : image.*span) ++owners[&value - memory.data()];
      }
      for (size_t i = 0; i + 1 < images.size(); ++i)
        CHECK((images[i].*span).data() + (images[i].*span).size() == (images[i + 1].*span).data());
    }
    CHECK(std::ranges::count(owners, 1) == std::ssize(owners));
  }
  const auto copy = convert_last_block<HostSpan<const float>>(images[2], [](HostSpan<float> span) { return HostSpan<const float>(span); });
  CHECK(copy.tokens == 10 && copy.y.data() == images[2].y.data() && copy.qkv.data() == images[2].qkv.data());
  CHECK(copy.attended.data() == images[2].attended.data() && copy.log_sum_exp.data() == images[2].log_sum_exp.data());
  CHECK(copy.u.data() == images[2].u.data() && copy.omega.data() == images[2].omega.data() &&
        copy.pooled.data() == images[2].pooled.data());
  CHECK(copy.rstd_2.data() == images[2].rstd_2.data() && copy.rstd_post.data() == images[2].rstd_post.data());
  CHECK(copy.z_hat.data() == images[2].z_hat.data() && copy.h_hat_out.data() == images[2].h_hat_out.data());
  CHECK(copy.z_hat_out.data() == images[2].z_hat_out.data());
}

}  // namespace clip_es::similarity_parts_test
