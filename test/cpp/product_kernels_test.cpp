// The kernels of matrix products at every level that this CPU has: packing, tiles and epilogues, against plain loops.
#include <bit>
#include <cstring>
#include <memory>

#include "core/float16.h"
#include "kernel_levels.h"
#include "ops/ops.h"
#include "support.h"

namespace clip_es::product_kernels_test {

using ops::Kernels;

TEST("at every level, rows are rounded to integers and interleaved without a change of a bit") {
  Random random(8);
  for_levels([&](const Kernels& k, int64_t count) {
    const std::vector<float> x = random.normal(count);
    std::vector<int8_t> integers = guarded(std::vector<int8_t>(x.size()), int8_t{99});
    const int32_t sum = k.quantise(x.data(), count, 30, integers.data());
    int32_t want = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto q = static_cast<int8_t>(std::nearbyint(x[i] * 30));
      CHECK(integers[i] == q);
      want += q;
    }
    CHECK(sum == want && integers[x.size()] == 99);

    const int64_t step = 6;
    std::vector<std::vector<float>> rows;
    for (int r = 0; r < 4; ++r) rows.push_back(random.normal(count));
    const auto bytes = [&](int r) { return reinterpret_cast<const std::byte*>(rows[static_cast<size_t>(r)].data()); };
    const std::byte* const words[] = {bytes(0), bytes(1), bytes(2), bytes(3)};
    const float* const floats[] = {rows[0].data(), rows[1].data(), rows[2].data(), rows[3].data()};
    const auto word = [&](int64_t i, size_t r, bool pairs) {
      if (!pairs) return std::bit_cast<uint32_t>(rows[r][static_cast<size_t>(i)]);
      const auto half = [&](int64_t at) { return at < count ? float_to_bfloat16(rows[r][static_cast<size_t>(at)]) : uint32_t{0}; };
      return static_cast<uint32_t>(half(2 * i + 1) << 16 | half(2 * i));
    };
    const auto check_words = [&](const std::vector<uint32_t>& got, int64_t length, int64_t chunk, bool pairs) {
      for (size_t i = 0; i < got.size(); ++i) {
        const int64_t at = static_cast<int64_t>(i), line = at / (chunk * step), column = at % (chunk * step);
        const int64_t w = line * chunk + column % chunk, row = column / chunk;
        CHECK(got[i] == (w < length && row < 4 ? word(w, static_cast<size_t>(row), pairs) : 7));
      }
    };
    for (const int64_t chunk : {1, 2}) {
      const int64_t length = count / chunk * chunk;
      std::vector<uint32_t> got(static_cast<size_t>(length * step) + kGuard, 7);
      k.interleave(words, length, chunk, step, got.data());
      check_words(got, length, chunk, false);
    }
    if (k.interleave_bfloat16) {
      const ops::ProductTile& tile = k.tiles[static_cast<size_t>(Precision::kBFloat16)];
      std::vector<uint32_t> got(static_cast<size_t>(tile.words(count) * step) + kGuard, 7);
      k.interleave_bfloat16(floats, count, step, got.data());
      check_words(got, tile.words(count), tile.chunk, true);
    }
    std::vector<uint16_t> low(x.size()), high(x.size());
    for (size_t i = 0; i < low.size(); ++i) low[i] = static_cast<uint16_t>(i * 77 + 60000), high[i] = static_cast<uint16_t>(i * 31 + 50000);
    std::vector<uint32_t> pair = guarded(std::vector<uint32_t>(x.size()), 7u);
    k.interleave_pair(low.data(), high.data(), count, pair.data());
    for (size_t i = 0; i < low.size(); ++i) CHECK(pair[i] == (static_cast<uint32_t>(high[i]) << 16 | low[i]));
    CHECK(pair[x.size()] == 7);
  });
}

TEST("at every level, a tile is the product of its words in every precision, for each third of its rows") {
  Random random(9);
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8})
      for (const int64_t least_words : {1, 2, 7, 64}) {
        const ops::ProductTile& t = level.kernels.tiles[static_cast<size_t>(precision)];
        struct alignas(64) Words {
          uint32_t panel[64 * ops::kMaxTileColumns], x[64 * ops::kMaxTileRows];
          float sums[ops::kMaxTileRows * ops::kMaxTileColumns];
        };
        const auto data = std::make_unique<Words>();
        const auto fill = [&](uint32_t* to, int64_t count, int zero) {
          const std::vector<float> numbers = random.normal(2 * count);
          std::vector<uint8_t> bytes = random.bytes(4 * count, 255);  // integers from -127 to 127, with 127 added
          for (size_t i = 0; i < bytes.size(); ++i)
            if (i / 8 % 2) bytes[i] = bytes[i] < 127 ? 0 : 254;  // the extremes
          for (size_t i = 0; i < static_cast<size_t>(count); ++i)
            if (precision == Precision::kFloat32) to[i] = std::bit_cast<uint32_t>(numbers[i]);
            else if (precision == Precision::kBFloat16)
              to[i] = static_cast<uint32_t>(float_to_bfloat16(numbers[2 * i + 1])) << 16 | float_to_bfloat16(numbers[2 * i]);
            else
              for (size_t b = 0; b < 4; ++b) reinterpret_cast<uint8_t*>(to + i)[b] = static_cast<uint8_t>(bytes[4 * i + b] - 127 + zero);
        };
        const int64_t words = t.words(least_words * t.group);
        fill(data->x, words * t.rows, 0);
        fill(data->panel, words * t.columns, ops::kPanelZero);
        const auto panel_integer = [](uint32_t byte) {
          return ops::kPanelZero ? static_cast<int>(byte & 0xff) : static_cast<int8_t>(byte);
        };
        const auto product = [&](uint32_t x, uint32_t w) {
          double sum = 0;
          if (precision == Precision::kFloat32)
            return static_cast<double>(std::bit_cast<float>(x)) * static_cast<double>(std::bit_cast<float>(w));
          for (int shift = 0; shift < 32; shift += precision == Precision::kInt8 ? 8 : 16)
            if (precision == Precision::kInt8) sum += static_cast<int8_t>(x >> shift) * panel_integer(w >> shift);
            else
              sum += static_cast<double>(bfloat16_to_float(static_cast<uint16_t>(x >> shift))) *
                     static_cast<double>(bfloat16_to_float(static_cast<uint16_t>(w >> shift)));
          return sum;
        };
        for (int64_t rows = 1; rows <= t.rows; ++rows) {
          std::fill(std::begin(data->sums), std::end(data->sums), NAN);
          t.multiply(data->x, data->panel, words, rows, data->sums, t.columns);
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < t.columns; ++c) {
              double want = 0;
              for (int64_t i = 0; i < words; ++i) {
                const int64_t chunk = i / t.chunk * t.chunk, place = i % t.chunk;
                want += product(data->x[chunk * t.rows + r * t.chunk + place], data->panel[chunk * t.columns + c * t.chunk + place]);
              }
              CHECK_BELOW(std::abs(data->sums[r * t.columns + c] - want), precision == Precision::kInt8 ? 1e-9 : 5e-5);
            }
        }
      }
}

TEST("at every level, tiles of sums are rescaled, biased and stored as plain loops do") {
  Random random(10);
  for_levels([&](const Kernels& k, int64_t columns) {
    const int64_t rows = 3, stride = columns + 3, row_stride = columns + 5;
    const std::vector<float> sums = random.normal(rows * stride, 100), bias = random.normal(columns), scales = random.uniform(columns),
                             y = random.normal(rows * row_stride);
    const ops::RowScale x[] = {{0.5f, 3}, {2, -7}, {0, 0}};
    const auto at = [](const std::vector<float>& v, int64_t r, int64_t step, int64_t c) {
      return static_cast<double>(v[static_cast<size_t>(r * step + c)]);
    };
    std::vector<double> rescaled(sums.begin(), sums.end()), biased = rescaled;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) {
        const double sum = at(sums, r, stride, c);
        rescaled[static_cast<size_t>(r * stride + c)] =
            (sum - ops::kPanelZero * static_cast<double>(x[r].sum)) * static_cast<double>(x[r].scale) * at(scales, 0, 0, c);
        biased[static_cast<size_t>(r * stride + c)] = sum + at(bias, 0, 0, c);
      }
    std::vector<float> got = guarded(sums);
    k.rescale(got.data(), rows, columns, stride, x, scales.data());
    check_equal(got, rescaled, 1e-6, "rescale");
    got = guarded(sums);
    k.add_bias(got.data(), rows, columns, stride, bias.data());
    check_equal(got, biased, 1e-6, "add_bias");
    for (const bool with_bias : {false, true})
      for (const bool add : {false, true}) {
        std::vector<double> want(y.begin(), y.end());
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < columns; ++c) {
            double& value = want[static_cast<size_t>(r * row_stride + c)];
            value = (add ? value : 0) + at(sums, r, stride, c) + (with_bias ? at(bias, 0, 0, c) : 0);
          }
        std::vector<float> stored = guarded(y);
        k.store_tile(sums.data(), rows, columns, stride, with_bias ? bias.data() : nullptr, add, stored.data(), row_stride);
        check_equal(stored, want, 1e-6, "store_tile");
      }
  });
}

}  // namespace clip_es::product_kernels_test
