// The parts of the dense CRF that have a plain definition: tiles of a photo and the label with the largest marginal.
#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>

#include "check.h"
#include "core/mask.h"
#include "crf/argmax.h"
#include "crf/lattice_features.h"
#include "crf/lattice_tables.h"
#include "crf/tiles.h"
#include "kernel_levels.h"
#include "ops/lattice.h"
#include "support.h"

namespace clip_es::crf_parts_test {

TEST("tiles cover the photo once, begin at columns that are multiples of 8, have at most 64 pixels on a side and follow each other") {
  for (const int64_t width : {1, 7, 8, 63, 64, 65, 72, 127, 128, 129, 200, 1000})
    for (const int64_t height : {1, 63, 64, 65, 129, 300}) {
      Arena::Scope scope(test_context().arena);
      const auto tiles = crf::cut_into_tiles(test_context().arena, width, height);
      CHECK(std::ssize(tiles) == (width + 63) / 64 * ((height + 63) / 64));
      std::vector<int> owners(width * height, 0);
      int64_t pixels = 0;
      for (const crf::ImageTile& tile : tiles) {
        CHECK(tile.width >= 1 && tile.width <= 64 && tile.height >= 1 && tile.height <= 64 && tile.x % 8 == 0);
        CHECK(tile.width % 8 == 0 || tile.x + tile.width == width);
        CHECK(tile.first_pixel == pixels && tile.pixels() == tile.width * tile.height);
        for (int64_t y = tile.y; y < tile.y + tile.height; ++y) {
          CHECK(tile.pixel(y) == pixels);
          pixels += tile.width;
          for (int64_t x = tile.x; x < tile.x + tile.width; ++x) ++owners[y * width + x];
        }
      }
      CHECK(std::ranges::count(owners, 1) == width * height);
      // The tiles of a row, and of a column, have about the same size.
      const auto [narrowest, widest] = std::ranges::minmax(tiles, {}, &crf::ImageTile::width);
      const auto [lowest, highest] = std::ranges::minmax(tiles, {}, &crf::ImageTile::height);
      CHECK(widest.width - narrowest.width <= 15 && highest.height - lowest.height <= 1);
    }
}

TEST("the label with the largest marginal is found at every pixel, on any number of threads") {
  Random random(8);
  for (const int64_t pixels : {1, 100, 40'000})
    for (const int64_t labels : {1, 2, 5})
      for (const int threads : {1, 3}) {
        std::vector<float> marginals = random.uniform(labels * pixels);
        for (int64_t i = 0; i < pixels; i += 7)  // ties
          for (int64_t label = 0; label < labels; ++label)
            marginals[label * pixels + i] = 0.25f * static_cast<float>(std::min<int64_t>(label, 2));
        std::vector<uint8_t> mask(pixels), value;
        std::vector<float> confidence(pixels);
        for (int64_t label = 1; label < labels; ++label) value.push_back(static_cast<uint8_t>(200 - label));
        for (const bool named : {false, true}) {
          crf::take_argmax(context_with(threads), marginals.data(), labels, pixels,
                           {.mask = mask.data(),
                            .confidence = confidence.data(),
                            .value = named ? value : std::span<const uint8_t>(),
                            .ignore_below = 0.5f});
          for (int64_t i = 0; i < pixels; ++i) {
            int64_t winner = 0;
            for (int64_t label = 1; label < labels; ++label)
              if (marginals[label * pixels + i] > marginals[winner * pixels + i]) winner = label;
            const float largest = marginals[winner * pixels + i];
            CHECK(confidence[i] == largest);
            CHECK(mask[i] == (largest < 0.5f ? kIgnored : winner == 0 ? kBackground : named ? value[winner - 1] : winner));
          }
        }
      }
}

TEST("streams copy as many values as they are told, from and to any place, and stream_out clears what it has copied") {
  Random random(9);
  for (const int64_t count : {0, 1, 3, 4, 5, 63, 255, 256, 257, 600})
    for (const size_t from : {0, 1})
      for (const size_t to : {0, 1, 2, 3}) {
        std::vector<float> values = guarded(random.normal(count + 1));
        const std::vector<float> before = values;
        for (const bool clear : {false, true}) {
          std::vector<float> copy(count + 8, kSentinel);
          if (clear) ops::stream_out(values.data() + from, count, copy.data() + to);
          else ops::stream_values(values.data() + from, count, copy.data() + to);
          ops::finish_streams();
          for (size_t i = 0; i < copy.size(); ++i) {
            const bool inside = i >= to && i < to + static_cast<size_t>(count);
            CHECK(copy[i] == (inside ? before[from + i - to] : kSentinel));
          }
          for (size_t i = 0; i < values.size(); ++i) {
            const bool cleared = clear && i >= from && i < from + static_cast<size_t>(count);
            CHECK(values[i] == (cleared ? 0 : before[i]));
          }
        }
      }
}

TEST("a table of points numbers distinct keys in the order of their first appearance, and knows no others") {
  for (const size_t count : {0, 1, 2, 3, 10, 341, 5000}) {
    const auto key = [](size_t i) { return ops::Key{i} * i * 12'345'677 + 8 * i + 5; };
    const size_t places = crf::PointTable::places(count);
    CHECK(std::has_single_bit(places) && places > count);
    std::vector<uint32_t> numbers(places);
    std::vector<ops::Key> keys(std::max<size_t>(count, 1));
    crf::PointTable table(numbers, keys.data());
    for (int round = 0; round < 2; ++round)
      for (size_t i = 0; i < count; ++i) CHECK(table.number(key(i)) == i && table.number(key(i / 2)) == i / 2);
    CHECK(table.keys().size() == count);
    for (size_t i = 0; i < 2 * count + 2; ++i) {
      const uint32_t want = i < count ? static_cast<uint32_t>(i) : crf::PointTable::kNone;
      const auto [number, matches, collides] = table.probe(key(i));
      CHECK(table.find(key(i)) == want);
      CHECK(matches + collides <= 1 && (matches == 0 || number == want));
      CHECK(collides || matches == (want != crf::PointTable::kNone));
      if (i < count) CHECK(table.keys()[i] == key(i));
    }
  }
}

TEST("a tile's table numbers distinct keys in the order of their first appearance, and forgets them when it is cleared") {
  Arena::Scope scope(test_context().arena);
  crf::TileTable table(test_context().arena);
  for (const uint64_t factor : {uint64_t{1}, uint64_t{0x10000}, uint64_t{0x9e3779b97f4a7c15}}) {
    table.clear();
    CHECK(table.keys().empty());
    const size_t most = 6 * crf::kTileSide * crf::kTileSide;
    for (size_t i = 0; i < most; ++i) CHECK(table.number((i + 1) * factor) == i);
    for (size_t i = 0; i < most; i += 7) CHECK(table.number((i + 1) * factor) == i);
    CHECK(table.keys().size() == most);
    for (size_t i = 0; i < most; ++i) CHECK(table.keys()[i] == (i + 1) * factor);
  }
}

TEST("a key has room for the quotients of every point that a photo's pixels touch and of its neighbours, and not twice as much") {
  for (const auto& [width, height, position, colour] :
       {std::tuple<int64_t, int64_t, float, float>{1, 1, 67, 3}, {640, 480, 67, 3}, {20'000, 3, 1, 0.5f}, {7, 9'000, 0.3f, 100}}) {
    Arena::Scope scope(test_context().arena);
    std::vector<float> levels(3 * 256);
    for (size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<float>(i % 256);
    const std::vector<uint8_t> rgb(3);
    const auto check_room = [](const auto& layout, const std::vector<double>& largest) {
      const auto dimensions = static_cast<int>(largest.size());
      for (int i = 0; i < dimensions; ++i) {
        // Coordinate i is the sum of the features from i on, less i times feature i - 1.
        double above = 0;
        for (int j = i; j < dimensions; ++j) above += largest[j];
        const double highest = above / (dimensions + 1), lowest = i ? -i * largest[i - 1] / (dimensions + 1) : 0;
        const double room = std::exp2(layout.shift[i + 1] - layout.shift[i]), needed = highest - lowest + 4;
        CHECK(needed < room && room <= 2 * (needed + 6));
        CHECK(static_cast<double>(layout.offset[i]) + lowest >= 2 && static_cast<double>(layout.offset[i]) + lowest <= 6);
        CHECK(layout.one[i] == ops::Key{1} << layout.shift[i]);
      }
      CHECK(layout.shift[0] == 3 && layout.fits());
    };
    const auto scaled = [](float value, float sigma, float factor) { return static_cast<double>(value) / sigma * factor; };
    const ops::LatticeScale<2> two;
    const ops::LatticeScale<5> five;
    const auto x = static_cast<float>(width - 1), y = static_cast<float>(height - 1);
    const crf::LatticeFeatures plain{position}, coloured{position, colour, rgb.data(), levels.data()};
    check_room(crf::ScaledFeatures<2>(test_context().arena, width, height, plain).layout(),
               {scaled(x, position, two.factor[0]), scaled(y, position, two.factor[1])});
    std::vector<double> largest{scaled(x, position, five.factor[0]), scaled(y, position, five.factor[1])};
    for (int c = 2; c < 5; ++c) largest.push_back(scaled(255, colour, five.factor[c]));
    check_room(crf::ScaledFeatures<5>(test_context().arena, width, height, coloured).layout(), largest);
  }
}

}  // namespace clip_es::crf_parts_test
