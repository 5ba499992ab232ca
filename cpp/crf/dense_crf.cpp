#include "crf/dense_crf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "crf/permutohedral_lattice.h"
#include "crf/position_filter.h"
#include "ops/lattice.h"
#include "ops/mean_field.h"

namespace clip_es {
namespace {

constexpr float kSmallestScore = 1e-5f;  // the released unary_from_softmax's

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArg, "CRF: " + message); }

void check_positive(float value, const char* name) {
  if (!(value > 0) || !std::isfinite(value)) refuse(std::string(name) + " is " + std::to_string(value) + "; it must be greater than 0");
}

void check_weight(float value, const char* name) {
  if (!(value >= 0) || !std::isfinite(value)) refuse(std::string(name) + " is " + std::to_string(value) + "; it must be 0 or more");
}

void check_settings(int64_t width, int64_t height, int64_t labels, const CrfSettings& s) {
  if (width < 1 || height < 1) refuse("the photo is " + std::to_string(width) + " x " + std::to_string(height) + "; it must have a pixel");
  if (labels < 1) refuse(std::to_string(labels) + " labels; at least one is needed");
  if (labels > ops::kMostLabels) refuse(std::to_string(labels) + " labels; at most " + std::to_string(ops::kMostLabels) + " are possible");
  if (s.rounds < 0) refuse(std::to_string(s.rounds) + " rounds; 0 or more are possible");
  check_positive(s.position_sigma, "the position sigma");
  check_positive(s.bilateral_position_sigma, "the bilateral position sigma");
  check_positive(s.bilateral_colour_sigma, "the bilateral colour sigma");
  check_weight(s.position_weight, "the position weight");
  check_weight(s.bilateral_weight, "the bilateral weight");
}

// The feature of every byte of R, G and B.
std::span<float> colour_levels(Arena& arena, bool released) {
  constexpr double kMean[3] = {122.675, 116.669, 104.008};  // of R, G, B
  const auto levels = arena.take<float>(3 * 256);
  for (size_t c = 0; c < 3; ++c)
    for (size_t i = 0; i < 256; ++i) {
      const int wrapped = static_cast<int>(static_cast<float>(static_cast<double>(i) - kMean[c])) & 255;
      levels[c * 256 + i] = static_cast<float>(released ? wrapped : static_cast<int>(i));
    }
  return levels;
}

class MeanField {
 public:
  MeanField(HostContext& context, int64_t width, int64_t height, int64_t labels)
      : context_(context),
        width_(width),
        pixels_(width * height),
        labels_(labels),
        channels_(ops::padded_channels(labels - 1)),
        tiles_(cut_into_tiles(context.arena, width, height)) {
    unary_ = context_.arena.take<float>(static_cast<size_t>(pixels_ * (labels_ - 1)));
    rows_ = context_.arena.take<float>(static_cast<size_t>(context_.pool.size() * kTileSide * channels_));
    for (auto& q : q_) q = context_.arena.take<float>(static_cast<size_t>(pixels_ * channels_));
  }

  void set_up(const CrfSettings& settings, const uint8_t* rgb) {
    const int64_t height = pixels_ / width_;
    if (settings.position_weight > 0) {
      if (build_position_grid(context_, width_, height, settings.position_sigma, grid_)) {
        normalise_position_grid(context_, tiles_, grid_, settings.position_weight);
        position_.emplace(context_, grid_, channels_);
      } else {
        add_kernel({settings.position_sigma}, settings.position_weight);
      }
    }
    if (settings.bilateral_weight > 0) {
      LatticeFeatures features{settings.bilateral_position_sigma, settings.bilateral_colour_sigma, rgb,
                               colour_levels(context_.arena, settings.released).data()};
      if (settings.released) std::swap(features.channel[0], features.channel[2]);
      add_kernel(features, settings.bilateral_weight);
    }
  }

  // Each pass over the tiles ends one round and begins the next, while a row's marginals are in the cache. A tile's position filter reads
  // its neighbours' marginals of the round before, so there are two images of them.
  void run(const float* scores, int rounds, float* marginals) {
    for (int round = 0; round <= rounds; ++round) {
      if (round > 0)
        for (auto& kernel : kernels_)
          if (kernel) kernel->blur();
      std::swap(q_[0], q_[1]);
      context_.pool.run(static_cast<int64_t>(tiles_.size()), [&](int64_t t, int worker) {
        context_.checkpoint();
        const Tile& tile = tiles_[static_cast<size_t>(t)];
        if (round > 0) begin_messages(t, worker);
        for (int64_t y = tile.y; y < tile.y + tile.height; ++y) {
          float* row = row_of(worker);
          if (round == 0) read_scores(tile, y, scores, row);
          else gather_messages(t, y, worker, row);
          ops::mean_field_update(unary_of(tile, y), labels_, tile.width, row);
          if (round == rounds) ops::marginals_of(row, labels_, tile.width, marginals + y * width_ + tile.x, pixels_);
          else {
            for (auto& kernel : kernels_)
              if (kernel) kernel->splat(t, y, worker, row);
            if (position_) ops::stream_values(row, tile.width * channels_, q_[1].data() + (y * width_ + tile.x) * channels_);
          }
        }
        if (round < rounds) end_splat(t, worker);
      });
    }
  }

 private:
  void add_kernel(const LatticeFeatures& features, float weight) {
    const size_t k = kernels_[0] ? 1 : 0;
    lattices_[k] = build_lattice(context_, tiles_, width_, pixels_ / width_, features);
    normalise_lattice(context_, tiles_, width_, lattices_[k], weight);
    kernels_[k].emplace(context_, lattices_[k], tiles_, channels_);
  }

  void begin_messages(int64_t t, int worker) {
    if (position_) position_->begin(tiles_[static_cast<size_t>(t)], worker);
    for (auto& kernel : kernels_)
      if (kernel) kernel->begin_slice(t, worker);
  }

  void end_splat(int64_t t, int worker) {
    for (auto& kernel : kernels_)
      if (kernel) kernel->end_splat(t, worker);
    ops::finish_streams();
  }

  void gather_messages(int64_t t, int64_t y, int worker, float* row) {
    const Tile& tile = tiles_[static_cast<size_t>(t)];
    bool add = false;
    if (position_) {
      position_->slice(y, worker, q_[0].data(), row);
      add = true;
    }
    for (const auto& kernel : kernels_)
      if (kernel) {
        kernel->slice(t, y, worker, add, row);
        add = true;
      }
    if (!add) fill_messages(tile, row);
  }

  void fill_messages(const Tile& tile, float* row) { std::fill_n(row, tile.width * channels_, 0.0f); }

  // The unary energies relative to the last label's, and no message.
  void read_scores(const Tile& tile, int64_t y, const float* scores, float* row) {
    fill_messages(tile, row);
    float last[kTileSide];
    read_row(tile, y, labels_ - 1, scores, last);
    for (int64_t l = 0; l < labels_ - 1; ++l) {
      float* unary = unary_of(tile, y) + l * tile.width;
      read_row(tile, y, l, scores, unary);
      for (int64_t x = 0; x < tile.width; ++x) unary[x] -= last[x];
    }
  }

  void read_row(const Tile& tile, int64_t y, int64_t label, const float* scores, float* logs) const {
    const float* row = scores + label * pixels_ + y * width_ + tile.x;
    for (int64_t x = 0; x < tile.width; x += 16) __builtin_prefetch(row + width_ + x);  // the planes' next rows
    if (!ops::log_scores(row, tile.width, kSmallestScore, logs)) refuse_score(tile, y, label, row);
  }

  [[noreturn]] static void refuse_score(const Tile& tile, int64_t y, int64_t label, const float* row) {
    int64_t x = 0;
    while (row[x] >= 0 && row[x] <= std::numeric_limits<float>::max()) ++x;
    refuse("the score of label " + std::to_string(label) + " at (" + std::to_string(tile.x + x) + ", " + std::to_string(y) + ") is " +
           std::to_string(row[x]) + "; scores are 0 to 1");
  }

  float* unary_of(const Tile& tile, int64_t y) const { return unary_.data() + tile.pixel(y) * (labels_ - 1); }
  float* row_of(int worker) const { return rows_.data() + worker * kTileSide * channels_; }

  HostContext& context_;
  int64_t width_, pixels_, labels_;
  int64_t channels_;  // of all labels but the last, see ops::mean_field_update
  std::span<Tile> tiles_;
  PositionGrid grid_;
  std::optional<PositionFilter> position_;
  Lattice lattices_[2];
  std::optional<LatticeFilter> kernels_[2];
  std::span<float> unary_;  // relative to the last label: (labels - 1, width) of each row of each tile
  std::span<float> rows_;   // (workers, kTileSide, channels): messages, then excess marginals of the row in work
  std::span<float> q_[2];   // (pixels, channels): excess marginals of the round before and of this one
};

}  // namespace

void dense_crf(HostContext& context, const uint8_t* rgb, int64_t width, int64_t height, const float* scores, int64_t labels,
               const CrfSettings& settings, float* marginals) {
  check_settings(width, height, labels, settings);
  Arena::Scope scope(context.arena);
  MeanField field(context, width, height, labels);
  const int rounds = labels == 1 ? 0 : settings.rounds;
  if (rounds > 0) field.set_up(settings, rgb);
  field.run(scores, rounds, marginals);
}

}  // namespace clip_es
