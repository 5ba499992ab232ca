#include "crf/permutohedral_lattice.h"

#include <algorithm>
#include <array>

namespace clip_es::crf {

LatticeFilter::LatticeFilter(HostContext& context, const Lattice& lattice, std::span<const ImageTile> tiles, int64_t channels)
    : context_(context), lattice_(lattice), tiles_(tiles), channels_(channels) {
  for (size_t t = 0; t < tiles.size(); ++t) largest_tile_ = std::max(largest_tile_, lattice.slots(t));
  // A share also blurs layers of the next shares, about as many as a ring holds. With fewer points than this, sharing takes more time
  // than it saves.
  shares_ = std::clamp<int64_t>(lattice.points / (2 * lattice.ring), 1, context.pool.size());
  const auto take = [&](int64_t count) { return context.arena.take<float>(count * channels); };
  slots_ = take(lattice.first_slot.back());
  points_ = take(lattice.points);
  rings_ = take(shares_ * 2 * (lattice.ring + 1));
  blurred_ = take(context.pool.size() * largest_tile_);
  splatted_ = take(context.pool.size() * largest_tile_);
  std::fill(splatted_.begin(), splatted_.end(), 0.0f);
}

void LatticeFilter::begin_slice(int64_t index, int worker) {
  const size_t t = index;
  const int64_t slots = lattice_.slots(t);
  ops::lattice_fetch(points_.data(), lattice_.point_of.subspan(lattice_.first_slot[t], slots), channels_,
                     blurred_.data() + worker * largest_tile_ * channels_);
}

void LatticeFilter::end_splat(int64_t index, int worker) {
  const size_t t = index;
  ops::stream_out(splatted_.data() + worker * largest_tile_ * channels_, lattice_.slots(t) * channels_,
                  slots_.data() + lattice_.first_slot[t] * channels_);
  ops::finish_streams();
}

void LatticeFilter::splat(int64_t index, int64_t y, int worker, const float* row) {
  const ImageTile& tile = tiles_[index];
  ops::lattice_splat(lattice_.corners_at(tile.pixel(y)), row, tile.width, channels_, splatted_.data() + worker * largest_tile_ * channels_);
}

void LatticeFilter::blur() {
  const std::span<const uint32_t> first = lattice_.first_point;
  const auto first_layer = [&](int64_t share) {
    return std::lower_bound(first.begin(), first.end(), lattice_.points * share / shares_) - first.begin();
  };
  const int64_t ring = (lattice_.ring + 1) * channels_;
  context_.pool.run(shares_, [&](int64_t share, int) {
    float* const start = rings_.data() + 2 * share * ring;
    blur_layers(first_layer(share), first_layer(share + 1), std::array{start, start + ring}.data());
  });
}

// Gathers one layer after the other from the slots. Each axis follows `reach` layers behind the axis before it, because a layer can be
// blurred along an axis only when its neighbours are blurred along the previous one. Axes read one ring and write the other, so a value
// passes all axes before it leaves the cache. Layers outside [begin, end) are computed as far as the layers inside need them.
void LatticeFilter::blur_layers(int64_t begin, int64_t end, float* const rings[2]) {
  const int64_t axes = lattice_.corners;
  for (int i = 0; i < 2; ++i) std::fill_n(rings[i] + lattice_.ring * channels_, channels_, 0.0f);
  const int64_t all = axes * lattice_.reach;
  for (int64_t front = begin - all; front < end + all; ++front) {
    context_.checkpoint();
    int64_t layer = front, beyond = all;  // layers outside [begin, end) that later axes read
    const auto is_needed = [&] {
      return layer >= std::max<int64_t>(begin - beyond, 0) && layer < std::min(end + beyond, lattice_.layers());
    };
    const auto place = [&] { return lattice_.place[layer] * channels_; };
    if (is_needed()) {
      const uint32_t* first = &lattice_.first_source[layer];
      ops::lattice_gather(slots_.data(), lattice_.sources.data() + first[0], first[1] - first[0], channels_, rings[0] + place());
    }
    for (int64_t axis = 0; axis < axes; ++axis) {
      layer -= lattice_.reach;
      beyond -= lattice_.reach;
      if (!is_needed()) continue;
      const uint32_t* first = &lattice_.first_point[layer];
      const float* values = rings[axis % 2];
      float* out = axis + 1 < axes ? rings[(axis + 1) % 2] + place() : points_.data() + first[0] * channels_;
      ops::lattice_blur(values + place(), values, lattice_.neighbours[axis].data() + first[0], first[1] - first[0], channels_, out);
    }
  }
}

void LatticeFilter::slice(int64_t index, int64_t y, int worker, bool add, float* row) const {
  const ImageTile& tile = tiles_[index];
  ops::lattice_slice(lattice_.corners_at(tile.pixel(y)), blurred_.data() + worker * largest_tile_ * channels_, tile.width, channels_, add,
                     row);
}

void normalise_lattice(HostContext& context, std::span<const ImageTile> tiles, int64_t width, Lattice& lattice, float strength) {
  Arena::Scope scope(context.arena);
  const auto sums = context.arena.take<float>(lattice.weight.size() / static_cast<size_t>(lattice.corners));
  std::fill(sums.begin(), sums.end(), 1.0f);
  LatticeFilter filter(context, lattice, tiles, 1);
  const auto count = std::ssize(tiles);
  context.pool.run(count, [&](int64_t t, int worker) {
    const ImageTile& tile = tiles[t];
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y) filter.splat(t, y, worker, sums.data() + y * width + tile.x);
    filter.end_splat(t, worker);
  });
  filter.blur();
  context.pool.run(count, [&](int64_t t, int worker) {
    const ImageTile& tile = tiles[t];
    filter.begin_slice(t, worker);
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y) {
      float* row = sums.data() + y * width + tile.x;
      filter.slice(t, y, worker, false, row);
      ops::normalise_weights(row, tile.width, lattice.corners, strength, lattice.weight.data() + tile.pixel(y) * lattice.corners);
    }
  });
}

}  // namespace clip_es::crf
