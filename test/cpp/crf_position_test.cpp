// The position kernel of the dense CRF: the grid against the hashed lattice, and photos for which the grid cannot be built.
#include <cmath>

#include "check.h"
#include "crf/permutohedral_lattice.h"
#include "crf/position_filter.h"
#include "crf_support.h"

namespace clip_es::crf_position_test {

using namespace clip_es::crf;
using check::largest_difference;

TEST("the position kernel's grid and its hashed lattice are the same filter") {
  Random random(3);
  HostContext& context = context_with(3);
  for (const auto& [width, height] : {std::pair<int64_t, int64_t>{1, 1}, {1, 90}, {130, 1}, {67, 45}, {200, 131}, {1500, 1100}})
    for (const float sigma : {1.0f, 1.7f, 3.0f, 40.0f})
      for (const int64_t channels : {int64_t{1}, int64_t{2}, int64_t{4}, int64_t{20}}) {
        if (width > 1000 && channels > 1) continue;
        Arena::Scope scope(context.arena);
        const std::vector<float> pixels = random.uniform(width * height * channels);
        const auto tiles = cut_into_tiles(context.arena, width, height);
        std::vector<float> got(pixels.size()), want(pixels.size());
        PositionGrid grid;
        CHECK(build_position_grid(context, width, height, sigma, grid));
        normalise_position_grid(context, tiles, grid, 2);
        PositionFilter position(context, grid, channels);
        for (const ImageTile& tile : tiles) {
          position.begin(tile, 0);
          for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
            position.slice(y, 0, pixels.data(), got.data() + (y * width + tile.x) * channels);
        }
        Lattice lattice = build_lattice(context, tiles, width, height, {sigma});
        normalise_lattice(context, tiles, width, lattice, 2);
        LatticeFilter filter(context, lattice, tiles, channels);
        const auto each_row = [&, row_size = width](size_t t, const auto& body) {
          for (int64_t y = tiles[t].y; y < tiles[t].y + tiles[t].height; ++y) body(y, (y * row_size + tiles[t].x) * channels);
        };
        for (size_t t = 0; t < tiles.size(); ++t) {
          const auto tile = static_cast<int64_t>(t);
          each_row(t, [&](int64_t y, int64_t row) { filter.splat(tile, y, 0, pixels.data() + row); });
          filter.end_splat(tile, 0);
        }
        filter.blur();
        for (size_t t = 0; t < tiles.size(); ++t) {
          const auto tile = static_cast<int64_t>(t);
          filter.begin_slice(tile, 0);
          each_row(t, [&](int64_t y, int64_t row) { filter.slice(tile, y, 0, false, want.data() + row); });
        }
        CHECK_BELOW(largest_difference(got, want), 1e-4);
      }
}

TEST("a photo that is too wide for the grid's 16-bit slots uses the hashed lattice") {
  HostContext& context = context_with(3);
  Arena::Scope scope(context.arena);
  const int64_t widest = 18890, height = 30;
  PositionGrid grid;
  CHECK(!build_position_grid(context, 40000, 40, 1, grid));
  CHECK(!build_position_grid(context, 18910, height, 1, grid));

  CHECK(build_position_grid(context, widest, height, 1, grid));
  Scene s{widest, height, 2, std::vector<uint8_t>(widest * height * 3, 100), {}};
  s.scores = Random(4).uniform(2 * widest * height);
  const CrfSettings settings{.rounds = 1, .bilateral_weight = 0};
  const std::vector<float> wide = marginals_of(context, s, settings);
  // The kernel reaches a few pixels. So the last columns give the same marginals when they are a photo on their own, except near the cut.
  const int64_t part = 200;
  Scene end{part, height, 2, std::vector<uint8_t>(part * height * 3, 100), {}};
  for (int64_t row = 0; row < 2 * height; ++row)
    end.scores.insert(end.scores.end(), s.scores.begin() + (row + 1) * widest - part, s.scores.begin() + (row + 1) * widest);
  const std::vector<float> narrow = marginals_of(context, end, settings);
  double difference = 0;
  for (int64_t row = 0; row < 2 * height; ++row)
    for (int64_t x = 20; x < part; ++x)
      difference += static_cast<double>(std::abs(narrow[row * part + x] - wide[(row + 1) * widest - part + x]));
  CHECK_BELOW(difference / static_cast<double>(2 * height * (part - 20)), 0.02);  // their position on the lattice differs
}

TEST("a small sigma, which leaves holes in the grid, uses the hashed lattice") {
  Arena::Scope scope(context_with(3).arena);
  PositionGrid grid;
  CHECK(!build_position_grid(context_with(3), 50, 40, 0.3f, grid));
  const Scene s = four_patches(50, 40, 3);
  check_distribution(marginals_of(context_with(3), s, {.position_sigma = 0.3f}), 3);
  CHECK_BELOW(mean_difference(marginals_of(context_with(3), s, {.rounds = 1, .position_sigma = 0.3f, .bilateral_weight = 0}),
                              naive_marginals(s, {.rounds = 1, .position_sigma = 0.3f, .bilateral_weight = 0})),
              0.02);
}

}  // namespace clip_es::crf_position_test
