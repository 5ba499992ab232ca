#include "crf/mean_field.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "crf/permutohedral_lattice.h"
#include "crf/position_filter.h"
#include "ops/lattice.h"
#include "ops/mean_field.h"

namespace clip_es::crf {
namespace {

constexpr float kSmallestScore = 1e-5f;  // as in the released code

// The bilateral kernel's feature of each byte of R, G and B: (3, 256).
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
  // Takes its memory from the context's arena.
  MeanField(HostContext& context, const CrfInput& input)
      : context_(context),
        input_(input),
        pixels_(input.width * input.height),
        channels_(ops::padded_channels(input.labels - 1)),
        tiles_(cut_into_tiles(context.arena, input.width, input.height)) {
    unary_ = context_.arena.take<float>(pixels_ * (input.labels - 1));
    rows_ = context_.arena.take<float>(context_.pool.size() * kTileSide * channels_);
    for (auto& excess : excess_) excess = context_.arena.take<float>(pixels_ * channels_);
  }

  void build_kernels(const CrfSettings& settings) {
    if (settings.position_weight > 0) {
      if (build_position_grid(context_, input_.width, input_.height, settings.position_sigma, grid_)) {
        normalise_position_grid(context_, tiles_, grid_, settings.position_weight);
        position_.emplace(context_, grid_, channels_);
      } else {
        add_lattice({settings.position_sigma}, settings.position_weight);
      }
    }
    if (settings.bilateral_weight > 0) {
      LatticeFeatures features{settings.bilateral_position_sigma, settings.bilateral_colour_sigma, input_.rgb,
                               colour_levels(context_.arena, settings.released).data()};
      if (settings.released) std::swap(features.channel[0], features.channel[2]);
      add_lattice(features, settings.bilateral_weight);
    }
  }

  // Each pass over the tiles ends one round and begins the next, while the marginals of a row are in the cache. The position filter of a
  // tile also reads its neighbours' marginals of the previous round, so the marginals have two buffers.
  void run(int rounds, float* marginals) {
    for (int round = 0; round <= rounds; ++round) {
      if (round > 0)
        for (auto& filter : filters_)
          if (filter) filter->blur();
      std::swap(excess_[0], excess_[1]);
      context_.pool.run(std::ssize(tiles_), [&](int64_t t, int worker) {
        context_.checkpoint();
        run_tile(t, worker, round, rounds, marginals);
      });
    }
  }

 private:
  void add_lattice(const LatticeFeatures& features, float weight) {
    const size_t k = filters_[0] ? 1 : 0;
    lattices_[k] = build_lattice(context_, tiles_, input_.width, input_.height, features);
    normalise_lattice(context_, tiles_, input_.width, lattices_[k], weight);
    filters_[k].emplace(context_, lattices_[k], tiles_, channels_);
  }

  void run_tile(int64_t t, int worker, int round, int rounds, float* marginals) {
    const ImageTile& tile = tiles_[t];
    if (round > 0) begin_slice(t, worker);
    float* row = row_of(worker);
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y) {
      if (round == 0) read_scores(tile, y, row);
      else slice(t, y, worker, row);
      ops::mean_field_update(unary_of(tile, y), input_.labels, tile.width, row);
      if (round == rounds) ops::marginals_of(row, input_.labels, tile.width, marginals + y * input_.width + tile.x, pixels_);
      else splat(t, y, worker, row);
    }
    if (round < rounds) end_splat(t, worker);
  }

  void splat(int64_t t, int64_t y, int worker, const float* row) {
    for (auto& filter : filters_)
      if (filter) filter->splat(t, y, worker, row);
    const ImageTile& tile = tiles_[t];
    if (position_) ops::stream_values(row, tile.width * channels_, excess_[1].data() + (y * input_.width + tile.x) * channels_);
  }

  void end_splat(int64_t t, int worker) {
    for (auto& filter : filters_)
      if (filter) filter->end_splat(t, worker);
    ops::finish_streams();
  }

  void begin_slice(int64_t t, int worker) {
    if (position_) position_->begin(tiles_[t], worker);
    for (auto& filter : filters_)
      if (filter) filter->begin_slice(t, worker);
  }

  // row = the sum of the kernels' messages.
  void slice(int64_t t, int64_t y, int worker, float* row) {
    bool add = false;
    if (position_) {
      position_->slice(y, worker, excess_[0].data(), row);
      add = true;
    }
    for (const auto& filter : filters_)
      if (filter) {
        filter->slice(t, y, worker, add, row);
        add = true;
      }
    if (!add) clear_row(tiles_[t], row);
  }

  void clear_row(const ImageTile& tile, float* row) { std::fill_n(row, tile.width * channels_, 0.0f); }

  // Stores the unary energies of the photo's row y relative to the last label's, and clears the messages.
  void read_scores(const ImageTile& tile, int64_t y, float* messages) {
    clear_row(tile, messages);
    float last[kTileSide];
    read_label(tile, y, input_.labels - 1, last);
    for (int64_t l = 0; l < input_.labels - 1; ++l) {
      float* unary = unary_of(tile, y) + l * tile.width;
      read_label(tile, y, l, unary);
      for (int64_t x = 0; x < tile.width; ++x) unary[x] -= last[x];
    }
  }

  void read_label(const ImageTile& tile, int64_t y, int64_t label, float* logs) const {
    const float* row = input_.scores + label * pixels_ + y * input_.width + tile.x;
    for (int64_t x = 0; x < tile.width; x += 16) __builtin_prefetch(row + input_.width + x);  // the next row of the same label
    if (!ops::log_scores(row, tile.width, kSmallestScore, logs)) refuse_score(tile, y, label, row);
  }

  [[noreturn]] static void refuse_score(const ImageTile& tile, int64_t y, int64_t label, const float* row) {
    int64_t x = 0;
    while (row[x] >= 0 && row[x] <= std::numeric_limits<float>::max()) ++x;
    throw Error(ErrorCode::kInvalidArg, "CRF: the score of label " + std::to_string(label) + " at (" + std::to_string(tile.x + x) + ", " +
                                            std::to_string(y) + ") is " + std::to_string(row[x]) + "; scores must be finite and 0 or more");
  }

  float* unary_of(const ImageTile& tile, int64_t y) const { return unary_.data() + tile.pixel(y) * (input_.labels - 1); }
  float* row_of(int worker) const { return rows_.data() + worker * kTileSide * channels_; }

  HostContext& context_;
  const CrfInput& input_;
  int64_t pixels_;
  int64_t channels_;  // labels - 1, padded; the last label's excess is computed from the others: see ops::mean_field_update()
  std::span<ImageTile> tiles_;
  PositionGrid grid_;
  std::optional<PositionFilter> position_;
  Lattice lattices_[2];
  std::optional<LatticeFilter> filters_[2];
  std::span<float> unary_;      // relative to the last label: (labels - 1, width) for each row of each tile
  std::span<float> rows_;       // (workers, kTileSide, channels): messages, which mean_field_update() replaces by excess marginals
  std::span<float> excess_[2];  // (pixels, channels): excess marginals of the previous round and of this one
};

}  // namespace

void infer_marginals(HostContext& context, const CrfInput& input, const CrfSettings& settings, float* marginals) {
  Arena::Scope scope(context.arena);
  MeanField field(context, input);
  const int rounds = input.labels == 1 ? 0 : settings.rounds;
  if (rounds > 0) field.build_kernels(settings);
  field.run(rounds, marginals);
}

}  // namespace clip_es::crf
