// Builds a lattice: which points exist, and which of them are neighbours. There are four steps:
//   1. each tile numbers the points that its pixels touch (TilePoints);
//   2. the slots of all tiles are sorted by layer;
//   3. each layer numbers its points and lists the slots of each point;
//   4. each layer finds its points' neighbours in the layers next to it.
// The threads share each step, and the result does not depend on their number.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "crf/lattice_features.h"
#include "crf/lattice_neighbours.h"
#include "crf/lattice_tables.h"
#include "crf/lattice_tile_points.h"
#include "crf/permutohedral_lattice.h"
#include "ops/lattice_key.h"

namespace clip_es::crf {
namespace {

using ops::Key;
using ops::KeyLayout;

template <int D>
class Builder {
 public:
  Builder(HostContext& context, std::span<const ImageTile> tiles, int64_t width, int64_t height, const LatticeFeatures& features)
      : context_(context),
        tiles_(tiles),
        width_(width),
        features_(features),
        scaled_(context.arena, width, height, features),
        layout_(scaled_.layout()) {
    if (!layout_.fits())
      throw Error(ErrorCode::kInvalidArg, "CRF: " + sigmas() + " too small for a photo of " + std::to_string(width) + " x " +
                                              std::to_string(height) +
                                              " pixels: the lattice would have more than 2^61 cells; use larger sigmas");
    const size_t pixels = width * height;
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
  // Very small sigmas give more layers. They are merged, because a hash table for only a few points takes more time than it saves.
  static constexpr int64_t kMostLayers = 1024;
  static constexpr size_t kMostSlots = (D + 1) * kTileSide * kTileSide;
  size_t layer_of(Key key) const { return static_cast<size_t>((layout_.layer(key) - lowest_layer_) >> layer_shift_); }

  std::string sigmas() const {
    const std::string position = "the position sigma " + std::to_string(features_.position_sigma);
    if constexpr (D == 2) return position + " is";
    else return position + " or the colour sigma " + std::to_string(features_.colour_sigma) + " is";
  }

  template <class T>
  std::span<T> take(size_t count) {
    return context_.arena.take<T>(count);
  }
  template <class Body>
  void each_tile(const Body& body) {
    context_.pool.run(std::ssize(tiles_), [&](int64_t t, int worker) {
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
    tile_keys_ = TilePoints<D>(context_, tiles_, width_, features_, scaled_, layout_, lattice_).number();
    int64_t slots = 0;
    for (size_t t = 0; t < tiles_.size(); ++t) {
      lattice_.first_slot[t] = slots;
      slots += static_cast<int64_t>(tile_keys_[t].size());
    }
    lattice_.first_slot[tiles_.size()] = slots;
    if (slots >= ops::kLinked)
      throw Error(ErrorCode::kInvalidArg, "CRF: the photo touches " + std::to_string(slots) +
                                              " lattice points, but at most 2^31 are possible; use larger sigmas or a smaller photo");
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

  // Counting sort of all slots by layer; within a layer they keep the order of tiles. Each tile's slots are renumbered in this order, so
  // that gathering a layer and fetching a tile both read contiguous runs of values.
  void sort_slots() {
    const size_t slots = lattice_.first_slot.back();
    const LayerCounts counts{take<uint32_t>(tiles_.size() * layers_), take<uint16_t>(tiles_.size() * layers_), take<uint16_t>(slots)};
    each_tile([&](size_t t, size_t) { count_layers(t, counts); });
    lattice_.first_source = take<uint32_t>(layers_ + 1);
    uint32_t sum = 0;
    for (size_t layer = 0; layer < layers_; ++layer) {
      lattice_.first_source[layer] = sum;
      for (size_t t = 0; t < tiles_.size(); ++t) sum += std::exchange(counts.place[t * layers_ + layer], sum);
    }
    lattice_.first_source[layers_] = sum;
    keys_ = take<Key>(slots);
    slot_ = take<uint32_t>(slots);
    const auto renumbered = take<uint16_t>(static_cast<size_t>(context_.pool.size()) * kMostSlots);
    each_tile([&](size_t t, size_t worker) { renumber_slots(t, counts, renumbered.subspan(worker * kMostSlots, tile_keys_[t].size())); });
  }

  struct LayerCounts {
    std::span<uint32_t> place;   // (tiles, layers): the number of slots, then the sorted index of the next one
    std::span<uint16_t> number;  // (tiles, layers): the tile's new number of the next slot
    std::span<uint16_t> layer;   // (slots)
  };

  void count_layers(size_t t, const LayerCounts& counts) {
    const auto count = counts.place.subspan(t * layers_, layers_);
    std::fill(count.begin(), count.end(), 0u);
    uint16_t* layer = counts.layer.data() + lattice_.first_slot[t];
    for (const Key key : tile_keys_[t]) ++count[*layer++ = static_cast<uint16_t>(layer_of(key))];
    uint32_t before = 0;
    for (size_t i = 0; i < layers_; ++i) {
      counts.number[t * layers_ + i] = static_cast<uint16_t>(before);
      before += count[i];
    }
  }

  // renumbered: scratch, (slots of the tile).
  void renumber_slots(size_t t, const LayerCounts& counts, std::span<uint16_t> renumbered) {
    const std::span<const Key> keys = tile_keys_[t];
    const size_t first = lattice_.first_slot[t];
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t cell = t * layers_ + counts.layer[first + i];
      const uint32_t at = counts.place[cell]++;
      renumbered[i] = counts.number[cell]++;
      keys_[at] = keys[i];
      slot_[at] = static_cast<uint32_t>(first) + renumbered[i];
    }
    const size_t corners = D + 1;
    for (uint16_t& slot :
         lattice_.slot.subspan(static_cast<size_t>(tiles_[t].first_pixel) * corners, static_cast<size_t>(tiles_[t].pixels()) * corners))
      slot = renumbered[slot];
  }

  // Numbers the points of each layer in the order of their first slots. The layer's distinct keys move to the front of its part of keys_.
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

  // Counting sort of each layer's slots by point; the slots of a point keep the order of tiles.
  void find_sources() {
    lattice_.point_of = take<uint32_t>(slot_.size());
    lattice_.sources = take<uint32_t>(slot_.size());
    const auto next_source = take<uint32_t>(lattice_.points);
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

  // Places each layer in the ring after the previous layer, or at the start of the ring if it does not fit before the end.
  void place_layers() {
    // The layers that are in use at once: from the layer that is gathered to the farthest that the last axis reads, see
    // LatticeFilter::blur_layers().
    const size_t window = (D + 2) * lattice_.reach + 1;
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
    const size_t points = lattice_.points;
    for (auto& neighbours : std::span(lattice_.neighbours).first(D + 1)) neighbours = take<ops::LatticeNeighbours>(points);
    each_layer([&](size_t layer, size_t) {
      const auto none = static_cast<uint32_t>(lattice_.ring);
      for (const auto& neighbours : std::span(lattice_.neighbours).first(D + 1))
        std::fill(&neighbours[lattice_.first_point[layer]], neighbours.data() + lattice_.first_point[layer + 1],
                  ops::LatticeNeighbours{none, none});
    });
    const auto linked = [&](size_t layer, int axis) {
      return LinkedLayer{tables_[layer], &lattice_.neighbours[axis][lattice_.first_point[layer]], lattice_.place[layer]};
    };
    // Each point has at most one neighbour before it along an axis, so no two threads write the same value.
    each_layer([&](size_t layer, size_t) {
      for (int axis = 0; axis <= D; ++axis) {
        const auto [first, end] = layers_after(layer, axis);
        for (size_t to = first; to < end; ++to) link_layers(layout_, linked(layer, axis), linked(to, axis), axis);
      }
    });
  }

  // The layers that one step along `axis` can lead to: the first one and the end.
  std::pair<size_t, size_t> layers_after(size_t layer, int axis) const {
    const int64_t lowest = (static_cast<int64_t>(layer) << layer_shift_) + KeyLayout<D>::layer_step(axis);
    const int64_t highest = lowest + (int64_t{1} << layer_shift_) - 1, layers = static_cast<int64_t>(layers_);
    return {static_cast<size_t>(std::clamp<int64_t>(lowest >> layer_shift_, 0, layers)),
            static_cast<size_t>(std::clamp<int64_t>((highest >> layer_shift_) + 1, 0, layers))};
  }

  HostContext& context_;
  std::span<const ImageTile> tiles_;
  int64_t width_;
  const LatticeFeatures& features_;
  ScaledFeatures<D> scaled_;
  KeyLayout<D> layout_;
  Lattice lattice_;
  std::span<std::span<Key>> tile_keys_;  // (tiles): the keys of the tile's slots
  int64_t lowest_layer_ = 0;
  int layer_shift_ = 0;
  size_t layers_ = 0;
  std::span<Key> keys_;                // (slots), sorted by layer
  std::span<PointTable> tables_;       // (layers)
  std::span<uint32_t> slot_, number_;  // (slots), sorted by layer: the slot, and the number of its point within the layer
};

}  // namespace

Lattice build_lattice(HostContext& context, std::span<const ImageTile> tiles, int64_t width, int64_t height,
                      const LatticeFeatures& features) {
  if (features.rgb) return Builder<5>(context, tiles, width, height, features).build();
  return Builder<2>(context, tiles, width, height, features).build();
}

}  // namespace clip_es::crf
