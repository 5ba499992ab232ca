#include "mask/permutohedral_lattice.h"

#include <algorithm>
#include <utility>

namespace clip_es {

LatticeFilter::LatticeFilter(Context& context, const Lattice& lattice, std::span<const Tile> tiles, int64_t width, int64_t channels)
    : context_(context), lattice_(lattice), tiles_(tiles), width_(width), channels_(channels) {
  for (size_t t = 0; t < tiles.size(); ++t) largest_tile_ = std::max(largest_tile_, lattice.slots(t));
  const auto take = [&](int64_t count) { return context.arena.take<float>(static_cast<size_t>(count * channels)); };
  splatted_ = take(lattice.points);
  blurred_ = take(lattice.points);
  guests_ = take(static_cast<int64_t>(lattice.guests.size()));
  slots_ = take(context.pool.size() * largest_tile_);
}

void LatticeFilter::splat(int64_t index, int worker, const float* pixels) {
  const auto t = static_cast<size_t>(index);
  const Tile& tile = tiles_[t];
  float* slots = scratch(worker);
  std::fill_n(slots, lattice_.slots(t) * channels_, 0.0f);
  for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
    ops::lattice_splat(lattice_.corners_at(tile.pixel(y)), pixels + (y * width_ + tile.x) * channels_, tile.width, channels_, slots);
  ops::lattice_store(slots, lattice_.home.data() + lattice_.first_slot[t], lattice_.slots(t), channels_, lattice_.points, splatted_.data(),
                     guests_.data());
}

void LatticeFilter::blur() {
  context_.checkpoint();
  std::swap(splatted_, blurred_);
  const std::span<const uint32_t> guests = lattice_.guests;
  const auto count = static_cast<int64_t>(guests.size());
  // The threads' shares of the guests begin where a point's guests begin.
  const auto begin_of = [&](int64_t g) {
    while (g > 0 && g < count && guests[static_cast<size_t>(g)] == guests[static_cast<size_t>(g - 1)]) ++g;
    return g;
  };
  context_.pool.split(count, 1024, [&](int64_t begin, int64_t end) {
    const int64_t first = begin_of(begin), last = begin_of(end);
    ops::lattice_add(guests_.data() + first * channels_, guests.data() + first, last - first, channels_, blurred_.data());
  });
  for (int64_t j = 0; j < lattice_.corners; ++j) {
    const Lattice::Axis& axis = lattice_.axes[j];
    context_.checkpoint();
    context_.pool.split(static_cast<int64_t>(axis.part.size()) - 1, 1, [&](int64_t begin, int64_t end) {
      const int64_t first = axis.part[static_cast<size_t>(begin)], last = axis.part[static_cast<size_t>(end)];
      ops::lattice_blur(axis.entries.data() + first, last - first, channels_, blurred_.data());
    });
  }
}

void LatticeFilter::slice(int64_t index, int worker, bool add, float* pixels) const {
  const auto t = static_cast<size_t>(index);
  const Tile& tile = tiles_[t];
  float* slots = scratch(worker);
  ops::lattice_fetch(blurred_.data(), lattice_.point_of.data() + lattice_.first_slot[t], lattice_.slots(t), channels_, slots);
  for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
    ops::lattice_slice(lattice_.corners_at(tile.pixel(y)), slots, tile.width, channels_, add, pixels + (y * width_ + tile.x) * channels_);
}

void normalise_lattice(Context& context, std::span<const Tile> tiles, int64_t width, Lattice& lattice, float strength) {
  Arena::Scope scope(context.arena);
  const auto sums = context.arena.take<float>(lattice.weight.size() / static_cast<size_t>(lattice.corners));
  std::fill(sums.begin(), sums.end(), 1.0f);
  LatticeFilter filter(context, lattice, tiles, width, 1);
  const auto count = static_cast<int64_t>(tiles.size());
  context.pool.run(count, [&](int64_t t, int worker) { filter.splat(t, worker, sums.data()); });
  filter.blur();
  context.pool.run(count, [&](int64_t t, int worker) {
    filter.slice(t, worker, false, sums.data());
    const Tile& tile = tiles[static_cast<size_t>(t)];
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
      ops::normalise_weights(sums.data() + y * width + tile.x, tile.width, lattice.corners, strength,
                             lattice.weight.data() + tile.pixel(y) * lattice.corners);
  });
}

}  // namespace clip_es
