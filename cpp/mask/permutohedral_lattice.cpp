#include "mask/permutohedral_lattice.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "ops/lattice_key.h"

namespace clip_es {
namespace {

using ops::Key;
using ops::KeyLayout;
constexpr uint32_t kNone = 0xffffffffu;

// Keys are fields of small numbers side by side: both halves are needed, or neighbours fall on each other.
uint64_t hash(Key key) {
  key *= 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
  key ^= key >> 32;
  key *= 0xd6e8feb86659fd93u;
  return key ^ (key >> 32);
}

// Numbers the distinct keys of one tile in the order they come. An entry holds 16 bits of the hash beside the number.
class TileTable {
 public:
  static constexpr size_t kSize = 32768;
  explicit TileTable(Arena& arena) : entries_(arena.take<uint32_t>(kSize)), keys_(arena.take<Key>(6 * kTileSide * kTileSide)) {}
  void clear() {
    std::fill(entries_.begin(), entries_.end(), kNone);
    count_ = 0;
  }
  uint16_t number(Key key) {
    const Key h = hash(key);
    const uint32_t tag = static_cast<uint32_t>(h >> 48) << 16;
    for (size_t at = h % kSize;; at = (at + 1) % kSize) {
      const uint32_t entry = entries_[at];
      if (entry == kNone) {
        keys_[count_] = key;
        entries_[at] = tag | count_;
        return static_cast<uint16_t>(count_++);
      }
      if ((entry & 0xffff0000u) == tag && keys_[entry & 0xffffu] == key) return static_cast<uint16_t>(entry);
    }
  }
  std::span<const Key> keys() const { return keys_.first(count_); }

 private:
  std::span<uint32_t> entries_;
  std::span<Key> keys_;
  uint32_t count_ = 0;
};

// Numbers the distinct keys of the image. Half of all look-ups are for neighbours that do not exist: a byte of the hash for each place, so
// few bytes that they stay in the cache, answers those.
class VertexTable {
 public:
  VertexTable(Arena& arena, int64_t slots)
      : mask_(std::bit_ceil(static_cast<size_t>(slots) * 3 / 2 + 1) - 1),
        tags_(arena.take<uint8_t>(mask_ + 1)),
        numbers_(arena.take<uint32_t>(mask_ + 1)),
        keys_(arena.take<Key>(static_cast<size_t>(slots))) {}
  void clear() { std::fill(tags_.begin(), tags_.end(), kEmpty); }
  // Two steps on the way to find(), each for many keys before the next: what lies where the key should, then what that number stands for.
  void prefetch(uint64_t h) const {
    __builtin_prefetch(&tags_[h & mask_]);
    __builtin_prefetch(&numbers_[h & mask_]);
  }
  void prefetch_key(uint64_t h) const {
    const size_t at = h & mask_;
    __builtin_prefetch(&keys_[tags_[at] == tag_of(h) ? numbers_[at] : 0]);
  }
  uint32_t insert(Key key) {
    const uint64_t h = hash(key);
    const uint8_t tag = tag_of(h);
    for (size_t at = h & mask_;; at = (at + 1) & mask_) {
      if (tags_[at] == kEmpty) {
        tags_[at] = tag;
        numbers_[at] = count_;
        keys_[count_] = key;
        return count_++;
      }
      if (tags_[at] == tag && keys_[numbers_[at]] == key) return numbers_[at];
    }
  }
  uint32_t find(Key key, uint64_t h) const {
    const uint8_t tag = tag_of(h);
    for (size_t at = h & mask_;; at = (at + 1) & mask_) {
      if (tags_[at] == kEmpty) return kNone;
      if (tags_[at] == tag && keys_[numbers_[at]] == key) return numbers_[at];
    }
  }
  std::span<const Key> keys() const { return keys_.first(count_); }

 private:
  static constexpr uint8_t kEmpty = 0;
  static uint8_t tag_of(uint64_t h) { return static_cast<uint8_t>(h >> 56 | 1); }  // from the half that the place does not come from

  size_t mask_;
  std::span<uint8_t> tags_;
  std::span<uint32_t> numbers_;
  std::span<Key> keys_;
  uint32_t count_ = 0;
};

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

// The keys of a tile's slots, kept until the tiles are joined.
struct TileKeys {
  std::span<Key> keys;
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
        layout_(scaled_.layout()) {
    if (!layout_.fits())
      throw Error(ErrorCode::kInvalidArg, "position sigma " + std::to_string(features.position_sigma) + ", colour sigma " +
                                              std::to_string(features.colour_sigma) + ": too small for an image of " +
                                              std::to_string(width) + " x " + std::to_string(height) +
                                              "; the lattice would have more than 2^61 cells");
    const auto pixels = static_cast<size_t>(width * height);
    lattice_.corners = D + 1;
    lattice_.slot = context.arena.take<uint16_t>(pixels * (D + 1));
    lattice_.weight = context.arena.take<float>(pixels * (D + 1));
    lattice_.first_slot = context.arena.take<int64_t>(tiles.size() + 1);
  }

  Lattice build() {
    number_tiles();
    VertexTable table(context_.arena, lattice_.first_slot.back());
    join_tiles(table);
    find_chains(table);
    if (context_.pool.size() > 1) list_slots();
    return lattice_;
  }

 private:
  void number_tiles() {
    tile_keys_ = context_.arena.take<TileKeys>(tiles_.size());
    struct Worker {
      TileTable table;
      std::span<float> scaled;
      std::span<Key> keys;
      std::span<float> weights;
    };
    std::vector<Worker> workers;
    for (int i = 0; i < context_.pool.size(); ++i)
      workers.push_back({TileTable(context_.arena), context_.arena.take<float>(D * kTileSide),
                         context_.arena.take<Key>((D + 1) * kTileSide), context_.arena.take<float>((D + 1) * kTileSide)});
    std::mutex arena_mutex;
    context_.pool.run(static_cast<int64_t>(tiles_.size()), [&](int64_t index, int worker) {
      context_.checkpoint();
      Worker& w = workers[static_cast<size_t>(worker)];
      const Tile& tile = tiles_[static_cast<size_t>(index)];
      w.table.clear();
      for (int64_t y = 0; y < tile.height; ++y) {
        const int64_t count = (tile.width + ops::kKeyLanes - 1) / ops::kKeyLanes * ops::kKeyLanes;
        gather_features(tile, tile.y + y, count, w.scaled.data());
        if constexpr (D == 2) ops::lattice_keys_2(layout_, w.scaled.data(), kTileSide, count, w.keys.data(), w.weights.data());
        else ops::lattice_keys_5(layout_, w.scaled.data(), kTileSide, count, w.keys.data(), w.weights.data());
        const int64_t first = (tile.first_pixel + y * tile.width) * (D + 1), corners = tile.width * (D + 1);
        std::copy_n(w.weights.data(), corners, lattice_.weight.data() + first);
        for (int64_t i = 0; i < corners; ++i)
          lattice_.slot[static_cast<size_t>(first + i)] = w.table.number(w.keys[static_cast<size_t>(i)]);
      }
      const std::span<const Key> keys = w.table.keys();
      std::span<Key> kept;
      {
        std::lock_guard lock(arena_mutex);
        kept = context_.arena.take<Key>(keys.size());
      }
      std::copy(keys.begin(), keys.end(), kept.begin());
      tile_keys_[static_cast<size_t>(index)].keys = kept;
    });
    int64_t slots = 0;
    for (size_t t = 0; t < tiles_.size(); ++t) {
      lattice_.first_slot[t] = slots;
      slots += static_cast<int64_t>(tile_keys_[t].keys.size());
    }
    lattice_.first_slot[tiles_.size()] = slots;
    if (slots >= ops::kLinked)
      throw Error(ErrorCode::kInvalidArg, "the image touches " + std::to_string(slots) +
                                              " lattice points, more than 2^31: larger sigmas or a smaller image need fewer");
    lattice_.vertex_of = context_.arena.take<uint32_t>(static_cast<size_t>(slots));
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

  void join_tiles(VertexTable& table) {
    table.clear();
    constexpr size_t kAhead = 8;
    size_t slot = 0;
    for (const TileKeys& tile : tile_keys_)
      for (size_t s = 0; s < tile.keys.size(); ++s) {
        if (s + kAhead < tile.keys.size()) table.prefetch(hash(tile.keys[s + kAhead]));
        lattice_.vertex_of[slot++] = table.insert(tile.keys[s]);
      }
    lattice_.vertices = static_cast<int64_t>(table.keys().size());
  }

  void find_chains(const VertexTable& table) {
    const auto vertices = static_cast<size_t>(lattice_.vertices);
    const std::span<const Key> keys = table.keys();
    const auto next = context_.arena.take<uint32_t>(vertices * (D + 1));
    const auto followed = context_.arena.take<uint8_t>((vertices + 1) * (D + 1));  // one more, for those that nothing follows
    std::fill(followed.begin(), followed.end(), uint8_t{0});
    context_.pool.split(lattice_.vertices, 4096, [&](int64_t begin, int64_t end) {
      context_.checkpoint();
      constexpr int64_t kBlock = 32;  // all look-ups of a block are on their way before the first is waited for
      uint64_t hashes[kBlock * (D + 1)];
      Key steps[kBlock * (D + 1)];
      for (int64_t first = begin; first < end; first += kBlock) {
        const int64_t count = std::min(kBlock, end - first) * (D + 1);
        for (int64_t i = 0; i < count; ++i) {
          steps[i] = layout_.step(keys[static_cast<size_t>(first + i / (D + 1))], static_cast<int>(i % (D + 1)));
          hashes[i] = hash(steps[i]);
          table.prefetch(hashes[i]);
        }
        for (int64_t i = 0; i < count; ++i) table.prefetch_key(hashes[i]);
        for (int64_t i = 0; i < count; ++i) {
          const uint32_t found = table.find(steps[i], hashes[i]);
          const auto axis = static_cast<size_t>(i % (D + 1));
          next[axis * vertices + static_cast<size_t>(first + i / (D + 1))] = found;
          // A vertex follows one other at most; the one more is everybody's.
          std::atomic_ref(followed[axis * (vertices + 1) + std::min<size_t>(found, vertices)]).store(1, std::memory_order_relaxed);
        }
      }
    });
    for (Lattice::Axis& axis : std::span(lattice_.axes).first(D + 1)) {
      axis.entries = context_.arena.take<uint32_t>(vertices);
      axis.part = context_.arena.take<int64_t>(kParts + 1);
    }
    context_.pool.run(D + 1, [&](int64_t j, int) {
      lay_chains(next.subspan(static_cast<size_t>(j) * vertices, vertices),
                 followed.subspan(static_cast<size_t>(j) * (vertices + 1), vertices), lattice_.axes[j]);
    });
  }

  static constexpr size_t kParts = 64;

  // A vertex without neighbours stays as it is: no entry.
  static void lay_chains(std::span<const uint32_t> next, std::span<const uint8_t> followed, Lattice::Axis& axis) {
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

  void list_slots() {
    const auto vertices = static_cast<size_t>(lattice_.vertices);
    const std::span<uint32_t> begin = lattice_.slots_begin = context_.arena.take<uint32_t>(vertices + 1);
    lattice_.slots_of = context_.arena.take<uint32_t>(lattice_.vertex_of.size());
    std::fill(begin.begin(), begin.end(), 0u);
    for (const uint32_t v : lattice_.vertex_of) ++begin[v];
    uint32_t sum = 0;
    for (uint32_t& b : begin) b = sum += b;
    for (size_t s = lattice_.vertex_of.size(); s-- > 0;) lattice_.slots_of[--begin[lattice_.vertex_of[s]]] = static_cast<uint32_t>(s);
  }

  Context& context_;
  std::span<const Tile> tiles_;
  int64_t width_;
  const LatticeFeatures& features_;
  ScaledFeatures<D> scaled_;
  KeyLayout<D> layout_;
  Lattice lattice_;
  std::span<TileKeys> tile_keys_;
};

// What splat, blur and slice make of ones: sums (height, width).
void filter_ones(Context& context, std::span<const Tile> tiles, const Lattice& lattice, int64_t width, float* sums) {
  Arena::Scope scope(context.arena);
  const auto slots = context.arena.take<float>(lattice.vertex_of.size());
  const auto vertices = context.arena.take<float>(static_cast<size_t>(lattice.vertices));
  const auto each_tile = [&](auto body) {
    context.pool.run(static_cast<int64_t>(tiles.size()), [&](int64_t t, int) {
      const Tile& tile = tiles[static_cast<size_t>(t)];
      body(tile, lattice.corners_at(tile.first_pixel), slots.data() + lattice.first_slot[static_cast<size_t>(t)],
           lattice.slots(static_cast<size_t>(t)), lattice.vertex_of.data() + lattice.first_slot[static_cast<size_t>(t)]);
    });
  };
  each_tile([](const Tile& tile, const ops::LatticeCorners& corners, float* own, int64_t count, const uint32_t*) {
    std::fill_n(own, count, 0.0f);
    ops::lattice_splat_ones(corners, tile.pixels(), own);
  });
  if (lattice.slots_of.empty()) {
    std::fill(vertices.begin(), vertices.end(), 0.0f);
    ops::lattice_merge(slots.data(), lattice.vertex_of.data(), static_cast<int64_t>(slots.size()), 1, vertices.data());
  } else {
    context.pool.split(lattice.vertices, 4096, [&](int64_t begin, int64_t end) {
      ops::lattice_collect(slots.data(), lattice.slots_begin.data(), lattice.slots_of.data(), begin, end, 1, vertices.data());
    });
  }
  blur_lattice(context, lattice, 1, vertices.data());
  each_tile([&](const Tile& tile, const ops::LatticeCorners& corners, float* own, int64_t count, const uint32_t* vertex_of) {
    ops::lattice_fetch(vertices.data(), vertex_of, count, 1, own);
    for (int64_t y = 0; y < tile.height; ++y) {
      const ops::LatticeCorners row{corners.slot + y * tile.width * corners.corners, corners.weight + y * tile.width * corners.corners,
                                    corners.corners};
      ops::lattice_slice(row, own, tile.width, 1, false, sums + (tile.y + y) * width + tile.x);
    }
  });
}

}  // namespace

std::span<Tile> cut_into_tiles(Arena& arena, int64_t width, int64_t height) {
  const int64_t across = (width + kTileSide - 1) / kTileSide, down = (height + kTileSide - 1) / kTileSide;
  const auto tiles = arena.take<Tile>(static_cast<size_t>(across * down));
  int64_t pixel = 0;
  for (int64_t j = 0; j < down; ++j)
    for (int64_t i = 0; i < across; ++i) {
      Tile& tile = tiles[static_cast<size_t>(j * across + i)];
      tile.x = width * i / across;
      tile.y = height * j / down;
      tile.width = width * (i + 1) / across - tile.x;
      tile.height = height * (j + 1) / down - tile.y;
      tile.first_pixel = pixel;
      pixel += tile.pixels();
    }
  return tiles;
}

Lattice build_lattice(Context& context, std::span<const Tile> tiles, int64_t width, int64_t height, const LatticeFeatures& features) {
  if (features.rgb) return Builder<5>(context, tiles, width, height, features).build();
  return Builder<2>(context, tiles, width, height, features).build();
}

void blur_lattice(Context& context, const Lattice& lattice, int64_t channels, float* vertices) {
  for (int64_t j = 0; j < lattice.corners; ++j) {
    const Lattice::Axis& axis = lattice.axes[j];
    context.checkpoint();
    context.pool.split(static_cast<int64_t>(axis.part.size()) - 1, 1, [&](int64_t begin, int64_t end) {
      const int64_t first = axis.part[static_cast<size_t>(begin)], last = axis.part[static_cast<size_t>(end)];
      ops::lattice_blur(axis.entries.data() + first, last - first, channels, vertices);
    });
  }
}

void normalise_lattice(Context& context, std::span<const Tile> tiles, int64_t width, Lattice& lattice, float strength) {
  Arena::Scope scope(context.arena);
  const auto sums = context.arena.take<float>(lattice.weight.size() / static_cast<size_t>(lattice.corners));
  filter_ones(context, tiles, lattice, width, sums.data());
  context.pool.run(static_cast<int64_t>(tiles.size()), [&](int64_t t, int) {
    const Tile& tile = tiles[static_cast<size_t>(t)];
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
      ops::normalise_weights(sums.data() + y * width + tile.x, tile.width, lattice.corners, strength,
                             lattice.weight.data() + tile.pixel(y) * lattice.corners);
  });
}

}  // namespace clip_es
