// Which lattice points exist, and which are neighbours. In four steps, each shared by the threads and none dependent on their number:
// tiles number the points they touch; the tiles' points are sorted into groups of near keys; each group numbers its own; and each
// looks for the neighbours of its own, most of which are in the group again.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "mask/lattice_tables.h"
#include "mask/permutohedral_lattice.h"
#include "ops/lattice_key.h"

namespace clip_es {
namespace {

using ops::Key;
using ops::KeyLayout;

// Features times scale, by column, by row and by byte.
template <int D>
struct ScaledFeatures {
  std::span<float> x, y, level[3];

  ScaledFeatures(Arena& arena, int64_t width, int64_t height, const LatticeFeatures& f) {
    const ops::LatticeScale<D> scale;
    x = arena.take<float>(static_cast<size_t>(width));
    y = arena.take<float>(static_cast<size_t>(height));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / f.position_sigma * scale.factor[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i) / f.position_sigma * scale.factor[1];
    if constexpr (D == 5)
      for (size_t c = 0; c < 3; ++c) {
        level[c] = arena.take<float>(256);
        for (size_t i = 0; i < 256; ++i)
          level[c][i] = f.levels[static_cast<size_t>(f.channel[c]) * 256 + i] / f.colour_sigma * scale.factor[c + 2];
      }
  }
  // The quotients that the elevated features and the neighbours of their simplices can have.
  KeyLayout<D> layout() const {
    double largest[D] = {x.back(), y.back()};
    if constexpr (D == 5)
      for (int c = 0; c < 3; ++c) largest[c + 2] = *std::max_element(level[c].begin(), level[c].end());
    int64_t lowest[D], highest[D];
    double above = 0;
    for (int i = D - 1; i >= 0; --i) above += largest[i];
    for (int i = 0; i < D; ++i) {
      // elevated_i = (sum of the features from i on) - i * (feature i - 1); bounded so that even absurd sizes convert
      const double low = i ? -i * largest[i - 1] : 0;
      lowest[i] = static_cast<int64_t>(std::max(low / (D + 1), -1e15)) - 3;
      highest[i] = static_cast<int64_t>(std::min(above / (D + 1), 1e15)) + 3;
      above -= largest[i];
    }
    return KeyLayout<D>(lowest, highest);
  }
};

template <int D>
class Builder {
 public:
  Builder(Context& context, std::span<const Tile> tiles, int64_t width, int64_t height, const LatticeFeatures& features)
      : context_(context),
        tiles_(tiles),
        width_(width),
        features_(features),
        scaled_(context.arena, width, height, features),
        layout_(scaled_.layout()),
        group_shift_(std::max(layout_.shift[D] - kGroupBits, 0)) {
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
    group_slots();
    number_points();
    find_homes();
    find_chains();
    return lattice_;
  }

 private:
  // A group is what the keys' highest bits say: a range of the coordinate before the last, which the photo's luminance decides most.
  static constexpr int kGroupBits = 8;
  static constexpr size_t kGroups = size_t{1} << kGroupBits;
  size_t group_of(Key key) const { return static_cast<size_t>(key >> group_shift_); }

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
  void each_group(const Body& body) {
    context_.pool.run(static_cast<int64_t>(kGroups), [&](int64_t g, int) {
      context_.checkpoint();
      body(static_cast<size_t>(g));
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
    const int64_t first = (tile.first_pixel + y * tile.width) * (D + 1), corners = tile.width * (D + 1);
    std::copy_n(weights, corners, lattice_.weight.data() + first);
    uint16_t* slot = lattice_.slot.data() + first;
    for (int64_t i = 0; i < corners; ++i)  // the pixel before often shares the corner
      slot[i] = i > D && keys[i] == keys[i - D - 1] ? slot[i - D - 1] : table.number(keys[i]);
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

  // Counting sort of the tiles' slots by group; tiles stay in their order within each.
  void group_slots() {
    const auto slots = static_cast<size_t>(lattice_.first_slot.back());
    const auto places = take<uint32_t>(tiles_.size() * kGroups);  // (tiles, groups): how many, then where
    each_tile([&](size_t t, size_t) {
      const auto own = places.subspan(t * kGroups, kGroups);
      std::fill(own.begin(), own.end(), 0u);
      for (const Key key : tile_keys_[t]) ++own[group_of(key)];
    });
    first_in_group_ = take<uint32_t>(kGroups + 1);
    uint32_t sum = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      first_in_group_[g] = sum;
      for (size_t t = 0; t < tiles_.size(); ++t) {
        const uint32_t count = places[t * kGroups + g];
        places[t * kGroups + g] = sum;
        sum += count;
      }
    }
    first_in_group_[kGroups] = sum;
    keys_ = take<Key>(slots + 1);
    keys_[slots] = 0;
    slot_ = take<uint32_t>(slots);
    each_tile([&](size_t t, size_t) {
      auto slot = static_cast<uint32_t>(lattice_.first_slot[t]);
      for (const Key key : tile_keys_[t]) {
        const uint32_t at = places[t * kGroups + group_of(key)]++;
        keys_[at] = key;
        slot_[at] = slot++;
      }
    });
  }

  // Within each group in the order they come. The group's distinct keys move to the front of its share of keys_.
  void number_points() {
    const auto first_place = take<size_t>(kGroups + 1);
    first_place[0] = 0;
    for (size_t g = 0; g < kGroups; ++g)
      first_place[g + 1] = first_place[g] + PointTable::places(first_in_group_[g + 1] - first_in_group_[g]);
    const auto tags = take<uint8_t>(first_place[kGroups]);
    const auto numbers = take<uint32_t>(first_place[kGroups]);
    number_ = take<uint32_t>(slot_.size());
    tables_ = take<PointTable>(kGroups);
    each_group([&](size_t g) {
      const size_t place = first_place[g], places = first_place[g + 1] - place;
      PointTable& table = tables_[g] = PointTable(tags.subspan(place, places), numbers.subspan(place, places), &keys_[first_in_group_[g]]);
      for (size_t i = first_in_group_[g]; i < first_in_group_[g + 1]; ++i) number_[i] = table.insert(keys_[i]);
    });
    first_point_ = take<uint32_t>(kGroups + 1);
    first_point_[0] = 0;
    for (size_t g = 0; g < kGroups; ++g) first_point_[g + 1] = first_point_[g] + static_cast<uint32_t>(tables_[g].keys().size());
    lattice_.points = first_point_[kGroups];
  }

  // A point's first slot is its owner's, the others are guests, sorted by point.
  void find_homes() {
    const auto points = static_cast<size_t>(lattice_.points);
    lattice_.point_of = take<uint32_t>(slot_.size());
    lattice_.home = take<uint32_t>(slot_.size());
    lattice_.guests = take<uint32_t>(slot_.size() - points);
    const auto next_guest = take<uint32_t>(points);
    each_group([&](size_t g) {
      const auto next = next_guest.subspan(first_point_[g], first_point_[g + 1] - first_point_[g]);
      std::fill(next.begin(), next.end(), 0u);
      for (size_t i = first_in_group_[g]; i < first_in_group_[g + 1]; ++i) ++next[number_[i]];
      uint32_t guest = first_in_group_[g] - first_point_[g];  // of earlier groups
      for (uint32_t& n : next) guest += std::exchange(n, guest) - 1;
      uint32_t known = 0;  // points come in the order of their numbers
      for (size_t i = first_in_group_[g]; i < first_in_group_[g + 1]; ++i) {
        const uint32_t n = number_[i], point = first_point_[g] + n;
        lattice_.point_of[slot_[i]] = point;
        if (n == known) {
          lattice_.home[slot_[i]] = point;
          ++known;
        } else {
          lattice_.guests[next[n]] = point;
          lattice_.home[slot_[i]] = static_cast<uint32_t>(points) + next[n]++;
        }
      }
    });
  }

  void find_chains() {
    const auto points = static_cast<size_t>(lattice_.points);
    const auto next = take<uint32_t>(points * (D + 1));
    const auto followed = take<uint8_t>((points + 1) * (D + 1));  // one more, for those that nothing follows
    std::fill(followed.begin(), followed.end(), uint8_t{0});
    each_group([&](size_t g) {
      for (size_t axis = 0; axis <= D; ++axis)
        find_next(g, static_cast<int>(axis), &next[axis * points + first_point_[g]], &followed[axis * (points + 1)]);
    });
    for (Lattice::Axis& axis : std::span(lattice_.axes).first(D + 1)) {
      axis.entries = take<uint32_t>(points);
      axis.part = take<int64_t>(kParts + 1);
    }
    context_.pool.run(D + 1, [&](int64_t j, int) {
      lay_chains(next.subspan(static_cast<size_t>(j) * points, points), followed.subspan(static_cast<size_t>(j) * (points + 1), points),
                 lattice_.axes[j]);
    });
  }

  // The neighbours of a group's points, one step along an axis. A point follows one other at most; the one more is everybody's.
  void find_next(size_t g, int axis, uint32_t* next, uint8_t* followed) const {
    constexpr size_t kBlock = 64;
    const std::span<const Key> keys = tables_[g].keys();
    for (size_t begin = 0; begin < keys.size(); begin += kBlock) {
      Key steps[kBlock];
      uint32_t found[kBlock];
      const size_t count = std::min(kBlock, keys.size() - begin);
      for (size_t i = 0; i < count; ++i) {
        steps[i] = layout_.step(keys[begin + i], axis);
        found[i] = tables_[group_of(steps[i])].glance(steps[i]);
      }
      for (size_t i = 0; i < count; ++i) {
        const size_t group = group_of(steps[i]);
        const uint32_t number = found[i] == PointTable::kUnclear ? tables_[group].find(steps[i]) : found[i];
        const uint32_t point = number == PointTable::kNone ? number : number + first_point_[group];
        next[begin + i] = point;
        std::atomic_ref(followed[std::min(size_t{point}, static_cast<size_t>(lattice_.points))]).store(1, std::memory_order_relaxed);
      }
    }
  }

  static constexpr size_t kParts = 64;

  // A point without neighbours stays as it is: no entry.
  static void lay_chains(std::span<const uint32_t> next, std::span<const uint8_t> followed, Lattice::Axis& axis) {
    constexpr uint32_t kNone = PointTable::kNone;
    size_t count = 0, part = 0;
    for (uint32_t v = 0; v < next.size(); ++v) {
      if (followed[v] || next[v] == kNone) continue;
      if (v >= part * next.size() / kParts)
        for (; part < kParts && v >= part * next.size() / kParts; ++part) axis.part[part] = static_cast<int64_t>(count);
      uint32_t at = v;
      for (; next[at] != kNone; at = next[at]) axis.entries[count++] = at | ops::kLinked;
      axis.entries[count++] = at;
    }
    for (; part <= kParts; ++part) axis.part[part] = static_cast<int64_t>(count);
    axis.entries = axis.entries.first(count);
  }

  Context& context_;
  std::span<const Tile> tiles_;
  int64_t width_;
  const LatticeFeatures& features_;
  ScaledFeatures<D> scaled_;
  KeyLayout<D> layout_;
  int group_shift_;
  Lattice lattice_;
  std::span<std::span<Key>> tile_keys_;  // (tiles): of its slots
  std::span<uint32_t> first_in_group_;   // (groups + 1): where a group begins in the three below
  std::span<Key> keys_;                  // (slots)
  std::span<uint32_t> slot_, number_;    // (slots): the slot, and its point's number in the group
  std::span<PointTable> tables_;         // (groups)
  std::span<uint32_t> first_point_;      // (groups + 1)
};

}  // namespace

Lattice build_lattice(Context& context, std::span<const Tile> tiles, int64_t width, int64_t height, const LatticeFeatures& features) {
  if (features.rgb) return Builder<5>(context, tiles, width, height, features).build();
  return Builder<2>(context, tiles, width, height, features).build();
}

}  // namespace clip_es
