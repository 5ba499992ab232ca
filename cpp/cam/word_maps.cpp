#include "cam/word_maps.h"

#include <algorithm>

#include "ops/matmul.h"
#include "ops/ops.h"

namespace clip_es {
namespace {

constexpr int64_t kCells = 1024;  // cells whose probabilities are computed at a time, so that those of all words stay in the cache

// cosines (words, rows of features)
void multiply(HostContext& context, std::span<const float> features, const LabelTexts& texts, int64_t embedding, float* cosines) {
  const int64_t count = std::ssize(features) / embedding;
  const MatrixView columns = transposed(matrix(features.data(), count, embedding));
  for (const std::span<const float> words : {texts.rows, texts.background}) {
    const int64_t rows = std::ssize(words) / embedding;
    if (rows == 0) continue;
    ops::matmul(context, matrix(words.data(), rows, embedding), columns, cosines);
    cosines += rows * count;
  }
}

// Scratch memory of one thread for `count` cells.
struct Columns {
  float* words;    // (words, count)
  float* scratch;  // (2 * count)
};

// The probabilities of `count` cells: out[label] (count), the background first, whose rows are `stride` floats apart. The columns hold the
// cosines and are overwritten.
void probabilities(const Columns& columns, const LabelTexts& texts, int64_t words, int64_t count, float logit_scale, float* out,
                   int64_t stride) {
  ops::softmax_columns(columns.words, words, count, count, logit_scale, columns.scratch);
  const auto largest = [&](int64_t first, int64_t last, float* to) {
    std::fill_n(to, count, 0.0f);
    for (int64_t word = first; word < last; ++word)
      for (int64_t i = 0; i < count; ++i) {
        const float value = columns.words[word * count + i];
        to[i] = value <= to[i] ? to[i] : value;  // keeps a value that is not a number, which require_finite() finds
      }
  };
  largest(texts.first_row.back(), words, out);
  for (int64_t k = 0; k < texts.labels(); ++k) largest(texts.first_row[k], texts.first_row[k + 1], out + (k + 1) * stride);
}

// Calls body(index, columns) for every index in [0, count) on all threads.
template <class Body>
void run_columns(HostContext& context, int64_t count, int64_t words, int64_t cells, Body body) {
  Arena::Scope scope(context.arena);
  const int64_t size = (words + 2) * cells;
  const auto memory = context.arena.take<float>(context.pool.size() * size);
  context.pool.run(count, [&](int64_t index, int worker) {
    context.checkpoint();
    float* own = memory.data() + worker * size;
    body(index, Columns{own, own + words * cells});
  });
}

// maps (1 + K, cells of the cosines)
void cell_probabilities(HostContext& context, const HostMaps& cosines, const LabelTexts& texts, float logit_scale, float* maps) {
  const int64_t cells = cosines.grid.patches(), words = cosines.labels;
  run_columns(context, (cells + kCells - 1) / kCells, words, kCells, [&](int64_t index, const Columns& columns) {
    const int64_t first = index * kCells, count = std::min(kCells, cells - first);
    for (int64_t word = 0; word < words; ++word) std::copy_n(cosines.map(word).data() + first, count, columns.words + word * count);
    probabilities(columns, texts, words, count, logit_scale, maps + first, cells);
  });
}

// Each patch gets the mean of its pixels. from (maps, pixels) -> to (maps, patches)
void average_pixels(HostContext& context, const float* from, int64_t patch, const HostMaps& to) {
  const int64_t height = to.grid.height, width = to.grid.width;
  context.pool.run(to.labels * height, [&](int64_t index, int) {
    const float* pixels = from + index * patch * width * patch;
    for (int64_t x = 0; x < width; ++x) {
      double sum = 0;
      for (int64_t i = 0; i < patch * patch; ++i) sum += pixels[i / patch * width * patch + x * patch + i % patch];
      to.data[index * width + x] = static_cast<float>(sum / static_cast<double>(patch * patch));
    }
  });
}

// The bilinear taps from a grid to a photo's size.
struct Taps {
  std::span<ops::Tap> vertical, horizontal;
  Taps(Arena& arena, const Grid& grid, const PhotoSize& size)
      : vertical(arena.take<ops::Tap>(size.height)), horizontal(arena.take<ops::Tap>(size.width)) {
    ops::bilinear_taps(grid.height, size.height, vertical);
    ops::bilinear_taps(grid.width, size.width, horizontal);
  }
};

}  // namespace

int64_t count_words(const LabelTexts& texts, int64_t embedding) {
  return (std::ssize(texts.rows) + std::ssize(texts.background)) / embedding;
}

void compare_words(HostContext& context, const Windows& windows, HostSpan<const float> features, const LabelTexts& texts,
                   const HostMaps& cosines) {
  const int64_t words = cosines.labels, cells = windows.window.patches(), embedding = std::ssize(features) / windows.patches();
  if (windows.whole) return multiply(context, features, texts, embedding, cosines.data.data());
  const int64_t height = cosines.grid.height, width = cosines.grid.width;
  const PhotoSize pixels{windows.window.width * windows.patch, windows.window.height * windows.patch};
  Arena::Scope scope(context.arena);
  const auto own = context.arena.take<float>(words * cells);
  const auto enlarged = context.arena.take<float>(context.pool.size() * pixels.width), count = context.arena.take<float>(height * width);
  const Taps taps(context.arena, windows.window, pixels);
  std::ranges::fill(cosines.data, 0.0f);
  std::ranges::fill(count, 0.0f);
  for (const int64_t top : windows.rows)
    for (const int64_t left : windows.columns) {
      context.checkpoint();
      multiply(context, features.first(cells * embedding), texts, embedding, own.data());
      features = features.subspan(cells * embedding);
      const int64_t first = top * windows.patch * width + left * windows.patch;
      for (int64_t y = 0; y < pixels.height; ++y)
        for (int64_t x = 0; x < pixels.width; ++x) count[first + y * width + x] += 1;
      context.pool.run(words * pixels.height, [&](int64_t index, int worker) {
        const int64_t word = index / pixels.height, y = index % pixels.height;
        float* row = enlarged.data() + worker * pixels.width;
        ops::resize_bilinear_row(own.data() + word * cells, windows.window.width, taps.vertical[y], taps.horizontal, row);
        ops::add_scaled(cosines.map(word).data() + first + y * width, row, pixels.width, 1);
      });
    }
  for (int64_t word = 0; word < words; ++word)
    for (int64_t i = 0; i < height * width; ++i) cosines.map(word)[i] /= count[i];
}

void word_maps(HostContext& context, const Windows& windows, const HostMaps& cosines, const LabelTexts& texts, float logit_scale,
               const HostMaps& maps) {
  if (windows.whole) return cell_probabilities(context, cosines, texts, logit_scale, maps.data.data());
  Arena::Scope scope(context.arena);
  const auto pixels = context.arena.take<float>(maps.labels * cosines.grid.patches());
  cell_probabilities(context, cosines, texts, logit_scale, pixels.data());
  average_pixels(context, pixels.data(), windows.patch, maps);
}

void refine_word_maps(HostContext& context, HostSpan<const float> attention, const HostMaps& maps, const BoxSettings& box,
                      const AffinitySettings& affinity, const HostMaps& refined) {
  const int64_t patches = maps.grid.patches();
  Arena::Scope scope(context.arena);
  const auto boxes = context.arena.take<uint8_t>(maps.size());
  std::fill_n(boxes.begin(), patches, uint8_t{1});  // the background has no boxes
  // The refined maps' memory holds the labels' maps from 0 to 1, from which the boxes are made.
  const HostMaps labels{refined.data.subspan(patches), maps.labels - 1, maps.grid};
  std::ranges::copy(maps.data.subspan(patches), labels.data.begin());
  for (int64_t k = 0; k < labels.labels; ++k) ops::min_max(labels.map(k).data(), patches);
  box_mask(context, labels, box, boxes.subspan(patches));
  refine_cams(context, attention, maps, boxes, affinity, refined);
  for (int64_t map = 0; map < maps.labels; ++map) {
    const auto [lowest, highest] = std::ranges::minmax(maps.map(map));
    ops::min_max(refined.map(map).data(), patches);
    for (float& value : refined.map(map)) value = lowest + (highest - lowest) * value;
  }
}

void score_words(HostContext& context, const HostMaps& cosines, const LabelTexts& texts, float logit_scale, const PhotoSize& size,
                 HostSpan<float> scores) {
  Arena::Scope scope(context.arena);
  const Taps taps(context.arena, cosines.grid, size);
  run_columns(context, size.height, cosines.labels, size.width, [&](int64_t y, const Columns& columns) {
    for (int64_t word = 0; word < cosines.labels; ++word)
      ops::resize_bilinear_row(cosines.map(word).data(), cosines.grid.width, taps.vertical[y], taps.horizontal,
                               columns.words + word * size.width);
    probabilities(columns, texts, cosines.labels, size.width, logit_scale, scores.data() + y * size.width, size.pixels());
  });
}

void enlarge_maps(HostContext& context, const HostMaps& maps, const PhotoSize& size, HostSpan<float> scores) {
  Arena::Scope scope(context.arena);
  const Taps taps(context.arena, maps.grid, size);
  context.pool.run(maps.labels * size.height, [&](int64_t index, int) {
    const int64_t map = index / size.height, y = index % size.height;
    ops::resize_bilinear_row(maps.map(map).data(), maps.grid.width, taps.vertical[y], taps.horizontal, scores.data() + index * size.width);
  });
}

}  // namespace clip_es
