#include "mask/dense_crf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "mask/permutohedral_lattice.h"
#include "mask/position_grid.h"
#include "ops/lattice.h"

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
  MeanField(Context& context, int64_t width, int64_t height, int64_t labels)
      : context_(context),
        width_(width),
        height_(height),
        labels_(labels),
        channels_(ops::padded_channels(labels - 1)),
        tiles_(cut_into_tiles(context.arena, width, height)) {}

  void set_up(const CrfSettings& settings, const uint8_t* rgb) {
    const auto pixels = static_cast<size_t>(width_ * height_);
    unary_ = context_.arena.take<float>(pixels * static_cast<size_t>(channels_));
    q_ = context_.arena.take<float>(pixels * static_cast<size_t>(channels_));
    if (settings.rounds == 0 || labels_ == 1) return;
    if (settings.position_weight > 0) {
      has_grid_ = build_position_grid(context_, width_, height_, settings.position_sigma, grid_);
      if (has_grid_) normalise_position_grid(context_, grid_, settings.position_weight);
      else add_kernel({settings.position_sigma}, settings.position_weight);
    }
    if (settings.bilateral_weight > 0) {
      LatticeFeatures features{settings.bilateral_position_sigma, settings.bilateral_colour_sigma, rgb,
                               colour_levels(context_.arena, settings.released).data()};
      if (settings.released) std::swap(features.channel[0], features.channel[2]);
      add_kernel(features, settings.bilateral_weight);
    }
    take_values();
  }

  // Each pass over the tiles ends one round and begins the next, while a tile's marginals are in the cache.
  void run(const float* scores, int rounds, float* marginals) {
    for (int round = 0; round <= rounds; ++round) {
      const bool first = round == 0, last = round == rounds;
      if (!first) filter();
      for (Kernel& kernel : kernels()) {
        std::swap(kernel.before, kernel.after);
        if (!last && !collects()) std::fill(kernel.after.begin(), kernel.after.end(), 0.0f);
      }
      context_.pool.run(static_cast<int64_t>(tiles_.size()), [&](int64_t t, int worker) {
        context_.checkpoint();
        pass_tile(static_cast<size_t>(t), static_cast<size_t>(worker), first ? scores : nullptr, last ? marginals : nullptr);
      });
    }
  }

 private:
  struct Kernel {
    Lattice lattice;
    std::span<float> before, after;  // (vertices, channels): blurred values, and what this pass splats
    std::span<float> slots;          // (slots, channels): of all tiles, where several threads fill them
    std::span<float> fetched;        // (workers, slots of the largest tile, channels)
    std::span<float> splatted;       // the same for one worker, where there is but one
    int64_t largest = 0;             // slots of the largest tile
  };

  std::span<Kernel> kernels() { return std::span(kernels_).first(kernel_count_); }
  bool collects() const { return context_.pool.size() > 1; }
  float* q_at(int64_t x, int64_t y) { return q_.data() + (y * width_ + x) * channels_; }

  void add_kernel(const LatticeFeatures& features, float weight) {
    Kernel& kernel = kernels_[kernel_count_++];
    kernel.lattice = build_lattice(context_, tiles_, width_, height_, features);
    normalise_lattice(context_, tiles_, width_, kernel.lattice, weight);
  }

  void take_values() {
    Arena& arena = context_.arena;
    const auto channels = static_cast<size_t>(channels_);
    for (Kernel& kernel : kernels()) {
      for (size_t t = 0; t < tiles_.size(); ++t) kernel.largest = std::max(kernel.largest, kernel.lattice.slots(t));
      kernel.before = arena.take<float>(static_cast<size_t>(kernel.lattice.vertices) * channels);
      kernel.after = arena.take<float>(static_cast<size_t>(kernel.lattice.vertices) * channels);
      kernel.fetched = arena.take<float>(static_cast<size_t>(kernel.largest * context_.pool.size()) * channels);
      if (collects()) kernel.slots = arena.take<float>(kernel.lattice.vertex_of.size() * channels);
      else kernel.splatted = arena.take<float>(static_cast<size_t>(kernel.largest) * channels);
    }
    if (has_grid_) points_ = arena.take<float>(static_cast<size_t>(grid_.points()) * channels);
  }

  // From what the passes splatted to what they slice.
  void filter() {
    if (has_grid_) filter_to_points(context_, grid_, channels_, q_.data(), points_.data());
    for (Kernel& kernel : kernels()) {
      if (collects())
        context_.pool.split(kernel.lattice.vertices, 1024, [&](int64_t begin, int64_t end) {
          ops::lattice_collect(kernel.slots.data(), kernel.lattice.slots_begin.data(), kernel.lattice.slots_of.data(), begin, end,
                               channels_, kernel.after.data());
        });
      blur_lattice(context_, kernel.lattice, channels_, kernel.after.data());
    }
  }

  float* fetched_of(const Kernel& kernel, size_t worker) const {
    return kernel.fetched.data() + static_cast<int64_t>(worker) * kernel.largest * channels_;
  }
  float* splatted_of(const Kernel& kernel, size_t t) const {
    return collects() ? kernel.slots.data() + kernel.lattice.first_slot[t] * channels_ : kernel.splatted.data();
  }

  void pass_tile(size_t t, size_t worker, const float* scores, float* marginals) {
    const Tile& tile = tiles_[t];
    for (Kernel& kernel : kernels()) {
      const Lattice& lattice = kernel.lattice;
      if (!scores)
        ops::lattice_fetch(kernel.before.data(), lattice.vertex_of.data() + lattice.first_slot[t], lattice.slots(t), channels_,
                           fetched_of(kernel, worker));
      if (!marginals) std::fill_n(splatted_of(kernel, t), lattice.slots(t) * channels_, 0.0f);
    }
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y) {
      if (scores) read_scores(tile, y, scores);
      else gather_messages(tile, y, worker);
      ops::mean_field_update(unary_.data() + (y * width_ + tile.x) * channels_, labels_, tile.width, q_at(tile.x, y));
      if (marginals) write_marginals(tile, y, marginals);
      else
        for (Kernel& kernel : kernels())
          ops::lattice_splat(kernel.lattice.corners_at(tile.pixel(y)), q_at(tile.x, y), tile.width, channels_, splatted_of(kernel, t));
    }
    if (marginals || collects()) return;
    for (Kernel& kernel : kernels()) {
      const Lattice& lattice = kernel.lattice;
      ops::lattice_merge(kernel.splatted.data(), lattice.vertex_of.data() + lattice.first_slot[t], lattice.slots(t), channels_,
                         kernel.after.data());
    }
  }

  void gather_messages(const Tile& tile, int64_t y, size_t worker) {
    float* q = q_at(tile.x, y);
    bool add = false;
    if (has_grid_) {
      ops::lattice_slice(grid_.corners_at(y * width_ + tile.x), points_.data() + grid_.base[static_cast<size_t>(y)] * channels_, tile.width,
                         channels_, add, q);
      add = true;
    }
    for (const Kernel& kernel : kernels()) {
      ops::lattice_slice(kernel.lattice.corners_at(tile.pixel(y)), fetched_of(kernel, worker), tile.width, channels_, add, q);
      add = true;
    }
    if (!add) std::fill_n(q, tile.width * channels_, 0.0f);
  }

  // The unary energies relative to the last label's, and no message.
  void read_scores(const Tile& tile, int64_t y, const float* scores) {
    const int64_t others = labels_ - 1, pixels = width_ * height_, at = y * width_ + tile.x;
    float* unary = unary_.data() + at * channels_;
    float logs[kTileSide], last[kTileSide];
    for (int64_t l = labels_; l-- > 0;) {
      const float* row = scores + l * pixels + at;
      bool fine = true;
      for (int64_t x = 0; x < tile.width; ++x) {
        fine &= row[x] >= 0 && row[x] <= std::numeric_limits<float>::max();
        logs[x] = std::min(std::max(row[x], kSmallestScore), 1.0f);
      }
      if (!fine) refuse_score(tile, y, l, row);
      ops::log_scores(logs, tile.width, l == others ? last : logs);
      if (l < others)
        for (int64_t x = 0; x < tile.width; ++x) unary[x * channels_ + l] = logs[x] - last[x];
    }
    for (int64_t x = 0; x < tile.width; ++x)
      for (int64_t l = others; l < channels_; ++l) unary[x * channels_ + l] = ops::kNoLabel;
    std::fill_n(q_at(tile.x, y), tile.width * channels_, 0.0f);
  }

  [[noreturn]] static void refuse_score(const Tile& tile, int64_t y, int64_t label, const float* row) {
    int64_t x = 0;
    while (row[x] >= 0 && row[x] <= std::numeric_limits<float>::max()) ++x;
    refuse("the score of label " + std::to_string(label) + " at (" + std::to_string(tile.x + x) + ", " + std::to_string(y) + ") is " +
           std::to_string(row[x]) + "; scores are 0 to 1");
  }

  void write_marginals(const Tile& tile, int64_t y, float* marginals) {
    const int64_t others = labels_ - 1, pixels = width_ * height_, at = y * width_ + tile.x;
    const float* q = q_at(tile.x, y);
    const float share = 1.0f / static_cast<float>(labels_);
    float rest[kTileSide];
    std::fill_n(rest, tile.width, 1.0f);
    for (int64_t l = 0; l < others; ++l)
      for (int64_t x = 0; x < tile.width; ++x) rest[x] -= marginals[l * pixels + at + x] = std::max(q[x * channels_ + l] + share, 0.0f);
    for (int64_t x = 0; x < tile.width; ++x) marginals[others * pixels + at + x] = std::max(rest[x], 0.0f);
  }

  Context& context_;
  int64_t width_, height_, labels_;
  int64_t channels_;  // of all labels but the last, see ops::mean_field_update
  std::span<Tile> tiles_;
  PositionGrid grid_;
  bool has_grid_ = false;
  std::span<float> points_;  // (points, channels) of the grid: blurred values
  Kernel kernels_[2];
  size_t kernel_count_ = 0;
  std::span<float> unary_;  // (pixels, channels): relative to the last label
  std::span<float> q_;      // (pixels, channels): messages, then excess marginals
};

}  // namespace

void dense_crf(Context& context, const uint8_t* rgb, int64_t width, int64_t height, const float* scores, int64_t labels,
               const CrfSettings& settings, float* marginals) {
  check_settings(width, height, labels, settings);
  Arena::Scope scope(context.arena);
  MeanField field(context, width, height, labels);
  field.set_up(settings, rgb);
  field.run(scores, labels == 1 ? 0 : settings.rounds, marginals);
}

}  // namespace clip_es
