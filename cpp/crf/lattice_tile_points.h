// Internal to cpp/crf. The first step of building a lattice: each tile numbers the lattice points that its pixels touch.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "core/context.h"
#include "crf/lattice_features.h"
#include "crf/lattice_tables.h"
#include "crf/permutohedral_lattice.h"
#include "ops/lattice_key.h"

namespace clip_es::crf {

template <int D>
class TilePoints {
 public:
  // The lattice's slot and weight must have their memory; number() fills them.
  TilePoints(HostContext& context, std::span<const ImageTile> tiles, int64_t width, const LatticeFeatures& features,
             const ScaledFeatures<D>& scaled, const ops::KeyLayout<D>& layout, const Lattice& lattice)
      : context_(context), tiles_(tiles), width_(width), features_(features), scaled_(scaled), layout_(layout), lattice_(lattice) {}

  // Returns the distinct keys of each tile, in the order of the tile's numbers. The memory comes from the context's arena.
  std::span<std::span<ops::Key>> number() {
    Arena& arena = context_.arena;
    const auto tile_keys = arena.take<std::span<ops::Key>>(tiles_.size());
    const auto workers = arena.take<Worker>(context_.pool.size());
    for (Worker& w : workers)
      std::construct_at(&w, Worker{TileTable(arena), arena.take<float>(D * kTileSide), arena.take<ops::Key>((D + 1) * kTileSide)});
    std::mutex arena_mutex;
    context_.pool.run(std::ssize(tiles_), [&](int64_t t, int worker) {
      context_.checkpoint();
      Worker& w = workers[worker];
      const ImageTile& tile = tiles_[t];
      w.table.clear();
      for (int64_t y = 0; y < tile.height; ++y) number_row(tile, y, w);
      const std::span<const ops::Key> keys = w.table.keys();
      std::span<ops::Key>& kept = tile_keys[t];
      {
        std::lock_guard lock(arena_mutex);
        kept = arena.take<ops::Key>(keys.size());
      }
      std::copy(keys.begin(), keys.end(), kept.begin());
    });
    return tile_keys;
  }

 private:
  struct Worker {
    TileTable table;
    std::span<float> scaled;   // (D, kTileSide)
    std::span<ops::Key> keys;  // (D + 1, kTileSide)
  };

  void number_row(const ImageTile& tile, int64_t y, Worker& w) const {
    float weights[(D + 1) * kTileSide];
    const int64_t count = (tile.width + ops::kKeyLanes - 1) / ops::kKeyLanes * ops::kKeyLanes;
    gather_features(tile, tile.y + y, count, w.scaled.data());
    if constexpr (D == 2) ops::lattice_keys_2(layout_, w.scaled.data(), kTileSide, count, w.keys.data(), weights);
    else ops::lattice_keys_5(layout_, w.scaled.data(), kTileSide, count, w.keys.data(), weights);
    const int64_t first = tile.pixel(tile.y + y) * (D + 1);
    std::copy_n(weights, tile.width * (D + 1), lattice_.weight.data() + first);
    uint16_t* slot = lattice_.slot.data() + first;
    const ops::Key* keys = w.keys.data();
    for (int64_t i = 0; i < tile.width; ++i)
      for (int64_t k = 0; k <= D; ++k) slot[i * (D + 1) + k] = w.table.number(keys[k * kTileSide + i]);
  }

  // scaled (D, kTileSide). Lanes after the end of the row repeat its last pixel.
  void gather_features(const ImageTile& tile, int64_t y, int64_t count, float* scaled) const {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t x = tile.x + std::min(i, tile.width - 1);
      scaled[i] = scaled_.x[x];
      scaled[kTileSide + i] = scaled_.y[y];
      if constexpr (D == 5) {
        const uint8_t* pixel = features_.rgb + (y * width_ + x) * 3;
        for (int c = 0; c < 3; ++c) scaled[(c + 2) * kTileSide + i] = scaled_.level[c][pixel[features_.channel[c]]];
      }
    }
  }

  HostContext& context_;
  std::span<const ImageTile> tiles_;
  int64_t width_;
  const LatticeFeatures& features_;
  const ScaledFeatures<D>& scaled_;
  const ops::KeyLayout<D>& layout_;
  const Lattice& lattice_;
};

}  // namespace clip_es::crf
