#include "mask/permutohedral_lattice.h"

#include <algorithm>
#include <utility>

namespace clip_es {

LatticeFilter::LatticeFilter(Context& context, const Lattice& lattice, std::span<const Tile> tiles, int64_t width, int64_t channels)
    : context_(context), lattice_(lattice), tiles_(tiles), width_(width), pixels_(0), channels_(channels) {
  for (size_t t = 0; t < tiles.size(); ++t) {
    pixels_ += tiles[t].pixels();
    largest_tile_ = std::max(largest_tile_, lattice.slots(t));
  }
  const auto take = [&](int64_t count) { return context.arena.take<float>(static_cast<size_t>(count)); };
  splatted_ = take(lattice.points * channels);
  blurred_ = take(lattice.points * channels);
  guests_ = take(static_cast<int64_t>(lattice.guests.size()) * channels);
  slots_ = take(context.pool.size() * largest_tile_ * ops::kBlockChannels);
}

void LatticeFilter::splat(int64_t index, int worker, const float* pixels) {
  const auto t = static_cast<size_t>(index);
  const Tile& tile = tiles_[t];
  const int64_t count = lattice_.slots(t), guests = static_cast<int64_t>(lattice_.guests.size());
  float* slots = scratch(worker);
  ops::for_blocks(channels_, [&](const ops::ChannelBlock& block) {
    std::fill_n(slots, count * block.width, 0.0f);
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
      ops::lattice_splat(lattice_.corners_at(tile.pixel(y)), block.of(pixels, pixels_) + (y * width_ + tile.x) * block.width, tile.width,
                         block.width, slots);
    ops::lattice_store(slots, lattice_.home.data() + lattice_.first_slot[t], count, block.width, lattice_.points,
                       block.of(splatted_.data(), lattice_.points), block.of(guests_.data(), guests));
  });
}

// A block at a time goes through all axes, while it is in the cache.
void LatticeFilter::blur() {
  std::swap(splatted_, blurred_);
  const std::span<const uint32_t> guests = lattice_.guests;
  // The threads' shares of the guests begin where a point's guests begin.
  const auto begin_of = [&](int64_t g) {
    while (g > 0 && g < static_cast<int64_t>(guests.size()) && guests[static_cast<size_t>(g)] == guests[static_cast<size_t>(g - 1)]) ++g;
    return g;
  };
  ops::for_blocks(channels_, [&](const ops::ChannelBlock& block) {
    context_.checkpoint();
    float* points = block.of(blurred_.data(), lattice_.points);
    const float* guest_values = block.of(guests_.data(), static_cast<int64_t>(guests.size()));
    context_.pool.split(static_cast<int64_t>(guests.size()), 1024, [&](int64_t begin, int64_t end) {
      const int64_t first = begin_of(begin), last = begin_of(end);
      ops::lattice_add(guest_values + first * block.width, guests.data() + first, last - first, block.width, points);
    });
    for (int64_t j = 0; j < lattice_.corners; ++j) {
      const Lattice::Axis& axis = lattice_.axes[j];
      context_.pool.split(static_cast<int64_t>(axis.part.size()) - 1, 1, [&](int64_t begin, int64_t end) {
        const int64_t first = axis.part[static_cast<size_t>(begin)], last = axis.part[static_cast<size_t>(end)];
        ops::lattice_blur(axis.entries.data() + first, last - first, block.width, points);
      });
    }
  });
}

void LatticeFilter::slice(int64_t index, int worker, bool add, float* pixels) const {
  const auto t = static_cast<size_t>(index);
  const Tile& tile = tiles_[t];
  float* slots = scratch(worker);
  ops::for_blocks(channels_, [&](const ops::ChannelBlock& block) {
    ops::lattice_fetch(block.of(blurred_.data(), lattice_.points), lattice_.point_of.data() + lattice_.first_slot[t], lattice_.slots(t),
                       block.width, slots);
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
      ops::lattice_slice(lattice_.corners_at(tile.pixel(y)), slots, tile.width, block.width, add,
                         block.of(pixels, pixels_) + (y * width_ + tile.x) * block.width);
  });
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
