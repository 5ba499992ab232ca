// Which lattice points exist, and which are neighbours. In four steps, each shared by the threads and none dependent on their number:
// tiles number the points they touch; the tiles' points are sorted into layers; each layer numbers its own; and each looks its points'
// neighbours up in the layers beside it.
#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "crf/lattice_features.h"
#include "crf/lattice_neighbours.h"
#include "crf/lattice_tables.h"
#include "crf/permutohedral_lattice.h"
#include "ops/lattice_key.h"

namespace clip_es {
namespace {

using ops::Key;
using ops::KeyLayout;

template <int D>
class Builder {
 public:
  Builder(HostContext& context, std::span<const Tile> tiles, int64_t width, int64_t height, const LatticeFeatures& features)
      : context_(context),
        tiles_(tiles),
        width_(width),
        features_(features),
        scaled_(context.arena, width, height, features),
        layout_(scaled_.layout()) {
    if (!layout_.fits())
      throw Error(ErrorCode::kInvalidArg, "position sigma " + std::to_string(features.position_sigma) + ", colour sigma " +
                                              std::to_string(features.colour_sigma) + ": too small for an image of " +
                                              std::to_string(width) + " x " + std::to_string(height) +
                                              "; the lattice would have more than 2^61 cells");
    const auto pixels = static_cast<size_t>(width * height);
    lattice_.corners = D + 1;
    lattice_.slot = take<uint16_t>(pixels * (D + 1));
    lattice_.weight = take<float>(pixels * (D + 1));
    lattice_.first_slot = take<int64_t>(tiles.size() + 1);
  }

  Lattice build() {
    number_tiles();
    find_layers();
    sort_slots();
    number_points();
    find_sources();
    place_layers();
    find_neighbours();
    return lattice_;
  }

 private:
  // More of them, which tiny sigmas would give, are merged: a table costs more than a few points.
  static constexpr int64_t kMostLayers = 1024;
  static constexpr size_t kMostSlots = (D + 1) * kTileSide * kTileSide;
  size_t layer_of(Key key) const { return static_cast<size_t>((layout_.layer(key) - lowest_layer_) >> layer_shift_); }

  template <class T>
  std::span<T> take(size_t count) {
    return context_.arena.take<T>(count);
  }
  template <class Body>
  void each_tile(const Body& body) {
    context_.pool.run(static_cast<int64_t>(tiles_.size()), [&](int64_t t, int worker) {
      context_.checkpoint();
      body(static_cast<size_t>(t), static_cast<size_t>(worker));
    });
  }
  template <class Body>
  void each_layer(const Body& body) {
    context_.pool.run(static_cast<int64_t>(layers_), [&](int64_t layer, int worker) {
      context_.checkpoint();
      body(static_cast<size_t>(layer), static_cast<size_t>(worker));
    });
  }

  void number_tiles() {
    tile_keys_ = take<std::span<Key>>(tiles_.size());
    struct Worker {
      TileTable table;
      std::span<float> scaled;
      std::span<Key> keys;
    };
    const auto workers = take<Worker>(static_cast<size_t>(context_.pool.size()));
    for (Worker& w : workers)
      std::construct_at(&w, Worker{TileTable(context_.arena), take<float>(D * kTileSide), take<Key>((D + 1) * kTileSide)});
    std::mutex arena_mutex;
    each_tile([&](size_t t, size_t worker) {
      Worker& w = workers[worker];
      const Tile& tile = tiles_[t];
      w.table.clear();
      for (int64_t y = 0; y < tile.height; ++y) number_row(tile, y, w.scaled.data(), w.keys.data(), w.table);
      const std::span<const Key> keys = w.table.keys();
      {
        std::lock_guard lock(arena_mutex);
        tile_keys_[t] = take<Key>(keys.size());
      }
      std::copy(keys.begin(), keys.end(), tile_keys_[t].begin());
    });
    int64_t slots = 0;
    for (size_t t = 0; t < tiles_.size(); ++t) {
      lattice_.first_slot[t] = slots;
      slots += static_cast<int64_t>(tile_keys_[t].size());
    }
    lattice_.first_slot[tiles_.size()] = slots;
    if (slots >= ops::kLinked)
      throw Error(ErrorCode::kInvalidArg, "the image touches " + std::to_string(slots) +
                                              " lattice points, more than 2^31: larger sigmas or a smaller image need fewer");
  }

  void number_row(const Tile& tile, int64_t y, float* scaled, Key* keys, TileTable& table) {
    float weights[(D + 1) * kTileSide];
    const int64_t count = (tile.width + ops::kKeyLanes - 1) / ops::kKeyLanes * ops::kKeyLanes;
    gather_features(tile, tile.y + y, count, scaled);
    if constexpr (D == 2) ops::lattice_keys_2(layout_, scaled, kTileSide, count, keys, weights);
    else ops::lattice_keys_5(layout_, scaled, kTileSide, count, keys, weights);
    const int64_t first = (tile.first_pixel + y * tile.width) * (D + 1);
    std::copy_n(weights, tile.width * (D + 1), lattice_.weight.data() + first);
    uint16_t* slot = lattice_.slot.data() + first;
    for (int64_t i = 0; i < tile.width; ++i)
      for (int64_t k = 0; k <= D; ++k) slot[i * (D + 1) + k] = table.number(keys[k * kTileSide + i]);
  }

  // scaled (D, kTileSide); the lanes past the row's end repeat its last pixel.
  void gather_features(const Tile& tile, int64_t y, int64_t count, float* scaled) const {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t x = tile.x + std::min(i, tile.width - 1);
      scaled[i] = scaled_.x[static_cast<size_t>(x)];
      scaled[kTileSide + i] = scaled_.y[static_cast<size_t>(y)];
      if constexpr (D == 5) {
        const uint8_t* pixel = features_.rgb + (y * width_ + x) * 3;
        for (int c = 0; c < 3; ++c) scaled[(c + 2) * kTileSide + i] = scaled_.level[c][pixel[features_.channel[c]]];
      }
    }
  }

  void find_layers() {
    struct Range {
      int64_t lowest, highest;
    };
    const auto ranges = take<Range>(tiles_.size());
    each_tile([&](size_t t, size_t) {
      Range range{INT64_MAX, INT64_MIN};
      for (const Key key : tile_keys_[t]) {
        range.lowest = std::min(range.lowest, layout_.layer(key));
        range.highest = std::max(range.highest, layout_.layer(key));
      }
      ranges[t] = range;
    });
    Range all = ranges[0];
    for (const Range& range : ranges) all = {std::min(all.lowest, range.lowest), std::max(all.highest, range.highest)};
    lowest_layer_ = all.lowest;
    while ((all.highest - all.lowest) >> layer_shift_ >= kMostLayers) ++layer_shift_;
    layers_ = static_cast<size_t>((all.highest - all.lowest) >> layer_shift_) + 1;
    lattice_.reach = ((KeyLayout<D>::kLayerStep - 1) >> layer_shift_) + 1;
  }

  // Counting sort of the tiles' slots by layer; tiles stay in their order within each. Each tile's slots are numbered anew in this order,
  // so that gathering a layer, and fetching a tile, reads runs of values and not values here and there.
  void sort_slots() {
    const auto slots = static_cast<size_t>(lattice_.first_slot.back());
    const auto places = take<uint32_t>(tiles_.size() * layers_);   // (tiles, layers): how many, then where
    const auto numbers = take<uint16_t>(tiles_.size() * layers_);  // (tiles, layers): the number of the first
    const auto layers = take<uint16_t>(slots);
    each_tile([&](size_t t, size_t) {
      const auto own = places.subspan(t * layers_, layers_);
      std::fill(own.begin(), own.end(), 0u);
      uint16_t* layer = layers.data() + lattice_.first_slot[t];
      for (const Key key : tile_keys_[t]) ++own[*layer++ = static_cast<uint16_t>(layer_of(key))];
      uint32_t before = 0;
      for (size_t i = 0; i < layers_; ++i) {
        numbers[t * layers_ + i] = static_cast<uint16_t>(before);
        before += own[i];
      }
    });
    lattice_.first_source = take<uint32_t>(layers_ + 1);
    uint32_t sum = 0;
    for (size_t layer = 0; layer < layers_; ++layer) {
      lattice_.first_source[layer] = sum;
      for (size_t t = 0; t < tiles_.size(); ++t) sum += std::exchange(places[t * layers_ + layer], sum);
    }
    lattice_.first_source[layers_] = sum;
    keys_ = take<Key>(slots);
    slot_ = take<uint32_t>(slots);
    const auto workers = take<uint16_t>(static_cast<size_t>(context_.pool.size()) * kMostSlots);
    each_tile([&](size_t t, size_t worker) {
      const std::span<const Key> keys = tile_keys_[t];
      const auto first = static_cast<size_t>(lattice_.first_slot[t]);
      const auto renumbered = workers.subspan(worker * kMostSlots, keys.size());
      for (size_t i = 0; i < keys.size(); ++i) {
        const size_t own = t * layers_ + layers[first + i];
        const uint32_t at = places[own]++;
        renumbered[i] = numbers[own]++;
        keys_[at] = keys[i];
        slot_[at] = static_cast<uint32_t>(first) + renumbered[i];
      }
      const auto corners = static_cast<size_t>(D + 1);
      for (uint16_t& slot :
           lattice_.slot.subspan(static_cast<size_t>(tiles_[t].first_pixel) * corners, static_cast<size_t>(tiles_[t].pixels()) * corners))
        slot = renumbered[slot];
    });
  }

  // Within each layer in the order they come. The layer's distinct keys move to the front of its share of keys_.
  void number_points() {
    const std::span<const uint32_t> first = lattice_.first_source;
    size_t places = 0;
    for (size_t layer = 0; layer < layers_; ++layer) places += PointTable::places(first[layer + 1] - first[layer]);
    const auto numbers = take<uint32_t>(places);
    tables_ = take<PointTable>(layers_);
    places = 0;
    for (size_t layer = 0; layer < layers_; ++layer) {
      const size_t own = PointTable::places(first[layer + 1] - first[layer]);
      std::construct_at(&tables_[layer], numbers.subspan(places, own), &keys_[first[layer]]);
      places += own;
    }
    number_ = take<uint32_t>(slot_.size());
    lattice_.first_point = take<uint32_t>(layers_ + 1);
    each_layer([&](size_t layer, size_t) {
      PointTable& table = tables_[layer];
      for (size_t i = first[layer]; i < first[layer + 1]; ++i) number_[i] = table.number(keys_[i]);
      lattice_.first_point[layer] = static_cast<uint32_t>(table.keys().size());
    });
    uint32_t points = 0;
    for (size_t layer = 0; layer < layers_; ++layer) points += std::exchange(lattice_.first_point[layer], points);
    lattice_.first_point[layers_] = points;
    lattice_.points = points;
  }

  // Counting sort of each layer's slots by point; tiles stay in their order for each.
  void find_sources() {
    lattice_.point_of = take<uint32_t>(slot_.size());
    lattice_.sources = take<uint32_t>(slot_.size());
    const auto next_source = take<uint32_t>(static_cast<size_t>(lattice_.points));
    each_layer([&](size_t layer, size_t) {
      const uint32_t first_point = lattice_.first_point[layer];
      const size_t begin = lattice_.first_source[layer], end = lattice_.first_source[layer + 1];
      const auto next = next_source.subspan(first_point, lattice_.first_point[layer + 1] - first_point);
      std::fill(next.begin(), next.end(), 0u);
      for (size_t i = begin; i < end; ++i) ++next[number_[i]];
      uint32_t source = lattice_.first_source[layer];
      for (uint32_t& n : next) source += std::exchange(n, source);
      for (size_t i = begin; i < end; ++i) {
        lattice_.point_of[slot_[i]] = first_point + number_[i];
        lattice_.sources[next[number_[i]]++] = slot_[i] | ops::kLinked;
      }
      for (const uint32_t past : next) lattice_.sources[past - 1] &= ~ops::kLinked;
    });
  }

  // Where the ring keeps each layer: behind the one before, or at its start where the end is too near.
  void place_layers() {
    // From the layer that is gathered to the last that the last axis looks at: see LatticeFilter::blur_layers().
    const auto window = static_cast<size_t>((D + 2) * lattice_.reach + 1);
    const std::span<const uint32_t> first = lattice_.first_point;
    uint32_t widest = 0, largest = 0;
    for (size_t layer = 0; layer < layers_; ++layer) {
      largest = std::max(largest, first[layer + 1] - first[layer]);
      widest = std::max(widest, first[std::min(layer + window, layers_)] - first[layer]);
    }
    lattice_.ring = std::min(widest + largest, first[layers_]);
    lattice_.place = take<uint32_t>(layers_);
    uint32_t next = 0;
    for (size_t layer = 0; layer < layers_; ++layer) {
      const uint32_t count = first[layer + 1] - first[layer];
      if (next + count > lattice_.ring) next = 0;
      lattice_.place[layer] = next;
      next += count;
    }
  }

  void find_neighbours() {
    const auto points = static_cast<size_t>(lattice_.points);
    for (auto& neighbours : std::span(lattice_.neighbours).first(D + 1)) neighbours = take<ops::LatticeNeighbours>(points);
    each_layer([&](size_t layer, size_t) {
      const auto none = static_cast<uint32_t>(lattice_.ring);
      for (const auto& neighbours : std::span(lattice_.neighbours).first(D + 1))
        std::fill(&neighbours[lattice_.first_point[layer]], neighbours.data() + lattice_.first_point[layer + 1],
                  ops::LatticeNeighbours{none, none});
    });
    const auto along = [&](size_t layer, int axis) {
      return LinkedLayer{tables_[layer], &lattice_.neighbours[axis][lattice_.first_point[layer]], lattice_.place[layer]};
    };
    // A point follows one other at most, so no two threads write the same.
    each_layer([&](size_t layer, size_t) {
      for (int axis = 0; axis <= D; ++axis) {
        const auto [first, end] = layers_after(layer, axis);
        for (size_t to = first; to < end; ++to) link_layers(layout_, along(layer, axis), along(to, axis), axis);
      }
    });
  }

  // Where one step along `axis` leads from a layer: the first and the end.
  std::pair<size_t, size_t> layers_after(size_t layer, int axis) const {
    const int64_t lowest = (static_cast<int64_t>(layer) << layer_shift_) + KeyLayout<D>::layer_step(axis);
    const int64_t highest = lowest + (int64_t{1} << layer_shift_) - 1, layers = static_cast<int64_t>(layers_);
    return {static_cast<size_t>(std::clamp<int64_t>(lowest >> layer_shift_, 0, layers)),
            static_cast<size_t>(std::clamp<int64_t>((highest >> layer_shift_) + 1, 0, layers))};
  }

  HostContext& context_;
  std::span<const Tile> tiles_;
  int64_t width_;
  const LatticeFeatures& features_;
  ScaledFeatures<D> scaled_;
  KeyLayout<D> layout_;
  Lattice lattice_;
  std::span<std::span<Key>> tile_keys_;  // (tiles): of its slots
  int64_t lowest_layer_ = 0;
  int layer_shift_ = 0;
  size_t layers_ = 0;
  std::span<Key> keys_;                // (slots), layer after layer
  std::span<PointTable> tables_;       // (layers): of their points
  std::span<uint32_t> slot_, number_;  // (slots), as well: the slot, and its point's number in the layer
};

}  // namespace

Lattice build_lattice(HostContext& context, std::span<const Tile> tiles, int64_t width, int64_t height, const LatticeFeatures& features) {
  if (features.rgb) return Builder<5>(context, tiles, width, height, features).build();
  return Builder<2>(context, tiles, width, height, features).build();
}

}  // namespace clip_es
