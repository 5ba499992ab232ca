// Products of matrices that were not packed before, against the twin in double precision.
#include "ops/matmul.h"

#include <cmath>
#include <stdexcept>

#include "check.h"
#include "clip/linear.h"
#include "ops/half.h"
#include "ops/reference/reference.h"
#include "support.h"

namespace clip_es::matmul_test {

using check::largest_difference;
using reference::Matrix;

namespace {

enum class Layout { kRows, kColumns, kPaddedRows, kPaddedColumns, kStrided };
constexpr Layout kLayouts[] = {Layout::kRows, Layout::kColumns, Layout::kPaddedRows, Layout::kPaddedColumns, Layout::kStrided};

MatrixView view(const std::vector<float>& memory, int64_t rows, int64_t columns, Layout layout) {
  switch (layout) {
    case Layout::kRows: return matrix(memory.data(), rows, columns);
    case Layout::kColumns: return transposed(matrix(memory.data(), columns, rows));
    case Layout::kPaddedRows: return {memory.data(), rows, columns, columns + 3, 1};
    case Layout::kPaddedColumns: return {memory.data(), rows, columns, 1, rows + 5};
    default: return {memory.data(), rows, columns, 2 * columns + 1, 2};
  }
}

int64_t memory_of(int64_t rows, int64_t columns) { return (rows + 5) * (2 * columns + 3) + columns * (rows + 5); }

Matrix copy_of(const MatrixView& m) {
  Matrix out(m.rows, m.columns);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.columns; ++j) out(i, j) = m.data[i * m.row_stride + j * m.column_stride];
  return out;
}

struct Sizes {
  int64_t rows, inner, columns;
};

// Sizes on both sides of a tile (4 to 12 rows, 8 to 32 columns), of a panel's depth (768) and of a vector product's chunks (256, 1024).
constexpr Sizes kSizes[] = {{1, 1, 1},    {1, 300, 1},    {1, 259, 1100}, {1030, 259, 1}, {70, 3, 1},   {1, 770, 65}, {2, 5, 3},
                            {13, 33, 33}, {12, 768, 32},  {33, 769, 13},  {5, 1537, 200}, {200, 64, 5}, {97, 31, 95}, {0, 4, 3},
                            {3, 4, 0},    {300, 100, 20}, {1, 7, 0},      {0, 7, 1},      {12, 1, 12},  {31, 2, 97}};

std::vector<float> product(int threads, const MatrixView& a, const MatrixView& b) {
  std::vector<float> out(static_cast<size_t>(a.rows * b.columns) + 1, NAN);
  out.back() = 7;  // must stay
  ops::matmul(context_with(threads), a, b, out.data());
  CHECK(out.back() == 7);
  out.pop_back();
  return out;
}

// |a| |b|. The rounding errors of a b are proportional to it.
Matrix sizes_of(const Matrix& a, const Matrix& b) {
  Matrix x = a, y = b;
  for (double& value : x.values) value = std::abs(value);
  for (double& value : y.values) value = std::abs(value);
  return reference::matmul(x, y);
}

double largest_relative(const std::vector<float>& got, const Matrix& want, const Matrix& sizes) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double off = std::abs(got[i] - want.values[i]) / (sizes.values[i] + 1e-30);
    worst = off <= worst ? worst : std::isnan(off) ? INFINITY : off;
  }
  return worst;
}

std::vector<float> halves_exactly(std::vector<float> values) {
  for (float& value : values) value = std::round(value * 64) / 64;
  return values;
}

std::vector<float> run(int threads, const Linear& layer, const std::vector<float>& x, int64_t rows, ops::Epilogue epilogue = {}) {
  std::vector<float> y(static_cast<size_t>(rows * layer.outputs()), epilogue.add ? 2.0f : NAN);
  layer(context_with(threads), x.data(), rows, y.data(), epilogue);
  return y;
}

// The product of weights that are kept as float32.
std::vector<float> run_unpacked(int threads, const LinearTensors& layer, const std::vector<float>& x, int64_t rows) {
  std::vector<float> y(static_cast<size_t>(rows * layer.outputs), NAN);
  const ops::UnpackedWeight weight{layer.outputs, layer.inputs, layer.weight.data(), nullptr};
  const auto row_of = [&](int64_t row, float*) { return x.data() + row * layer.inputs; };
  ops::unpacked_matmul(context_with(threads), weight, row_of, rows, {.bias = layer.bias.empty() ? nullptr : layer.bias.data()}, y.data());
  return y;
}

}  // namespace

TEST("matmul equals the twin for every pair of layouts, at sizes around those of tiles, panels and chunks, on 1 to 3 threads") {
  Random random(31);
  double worst = 0;
  for (const Sizes& s : kSizes) {
    const std::vector<float> a_memory = random.normal(memory_of(s.rows, s.inner)), b_memory = random.normal(memory_of(s.inner, s.columns));
    for (const Layout a_layout : kLayouts)
      for (const Layout b_layout : kLayouts) {
        const MatrixView a = view(a_memory, s.rows, s.inner, a_layout), b = view(b_memory, s.inner, s.columns, b_layout);
        const Matrix x = copy_of(a), y = copy_of(b);
        const std::vector<float> one = product(1, a, b);
        worst = std::max(worst, largest_relative(one, reference::matmul(x, y), sizes_of(x, y)));
        for (const int threads : {2, 3}) CHECK(product(threads, a, b) == one);
      }
  }
  check::note("largest relative difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-6);
}

TEST("sums of 4096 positive numbers keep a relative error below 4e-6, by rows and by columns, for one vector and for several") {
  Random random(32);
  constexpr int64_t kInner = 4096, kOuter = 70;
  const std::vector<float> m = random.uniform(kInner * kOuter), v = random.uniform(kInner * 3);
  const MatrixView by_rows = matrix(m.data(), kOuter, kInner), by_columns = transposed(matrix(m.data(), kInner, kOuter));
  for (const MatrixView& a : {by_rows, by_columns})
    for (const int64_t columns : {1, 3}) {
      const MatrixView b = matrix(v.data(), kInner, columns);
      const std::vector<float> got = product(2, a, b);
      const Matrix want = reference::matmul(copy_of(a), copy_of(b));
      CHECK_BELOW(largest_relative(got, want, want), 4e-6);  // one float32 sum of all terms would be off by 1e-4
      CHECK(product(1, a, b) == got);
      CHECK(product(3, a, b) == got);
    }
}

TEST("a product over an inner dimension of zero is zero") {
  const std::vector<float> nothing(1);
  for (const Sizes& s : {Sizes{3, 0, 4}, {1, 0, 4}, {3, 0, 1}})
    CHECK(product(2, matrix(nothing.data(), s.rows, 0), matrix(nothing.data(), 0, s.columns)) == std::vector<float>(s.rows * s.columns));
}

TEST("matmul refuses inner dimensions that differ, names both, and writes nothing") {
  const std::vector<float> memory(100, 1.0f);
  std::vector<float> out(100, 3.0f);
  std::string message;
  try {
    ops::matmul(test_context(), matrix(memory.data(), 4, 5), matrix(memory.data(), 6, 3), out.data());
  } catch (const std::logic_error& error) {
    message = error.what();
  }
  CHECK(message.find("5 and 6") != std::string::npos);
  CHECK(out == std::vector<float>(100, 3.0f));
}

TEST("a layer whose weights are not packed equals the twin in float32 and float16, with and without bias, bit for bit on 1 to 3 threads") {
  Random random(33);
  for (const int64_t rows : {0, 1, 13, 55, 56, 300})
    for (const int64_t inputs : {1, 96, 769, 1600})
      for (const int64_t outputs : {1, 33, 130})
        for (const bool biased : {false, true}) {
          const std::vector<float> weight = halves_exactly(random.normal(outputs * inputs, 0.2f)), x = random.normal(rows * inputs);
          const std::vector<float> bias = biased ? random.normal(outputs) : std::vector<float>();
          const LinearTensors tensors{weight, bias, outputs, inputs};
          const Linear compact = Linear::compact(tensors);
          CHECK(compact.bytes() == (weight.size() * sizeof(uint16_t) + bias.size() * sizeof(float)));
          const std::vector<double> wide_bias = biased ? std::vector<double>(bias.begin(), bias.end()) : std::vector<double>(outputs, 0.0);
          const Matrix want = reference::linear(Matrix(rows, inputs, x), {Matrix(outputs, inputs, weight), wide_bias});
          const std::vector<float> got = run_unpacked(1, tensors, x, rows);
          CHECK_BELOW(largest_difference(got, want.values), 1e-5 * std::sqrt(static_cast<double>(inputs)));
          for (const int threads : {1, 2, 3}) {
            CHECK(run_unpacked(threads, tensors, x, rows) == got);
            CHECK(run(threads, compact, x, rows) == got);
          }
        }
}

TEST("a layer whose weights are not packed adds to y or activates it after all inputs are summed") {
  Random random(34);
  for (const int64_t inputs : {40, 1600})
    for (const int64_t rows : {29, 77}) {  // without and with panels
      constexpr int64_t kOutputs = 50;
      const std::vector<float> weight = halves_exactly(random.normal(kOutputs * inputs, 0.1f)), bias = random.normal(kOutputs),
                               x = random.normal(rows * inputs);
      const Linear layer = Linear::compact({weight, bias, kOutputs, inputs});
      const std::vector<float> sums = run(1, layer, x, rows), added = run(3, layer, x, rows, {.add = true});
      const std::vector<float> active = run(3, layer, x, rows, {.activation = Activation::kQuickGelu});
      for (size_t i = 0; i < sums.size(); ++i) {
        CHECK_BELOW(std::abs(added[i] - (sums[i] + 2)), 1e-5);
        CHECK_BELOW(std::abs(active[i] - reference::activation(Activation::kQuickGelu, sums[i])), 1e-5);
      }
    }
}

TEST("a feed-forward of layers whose weights are not packed may compute x from y") {
  Random random(35);
  constexpr int64_t kRows = 50, kWidth = 96, kHidden = 200;
  const std::vector<float> up = halves_exactly(random.normal(kHidden * kWidth, 0.1f)), up_bias = random.normal(kHidden),
                           down = halves_exactly(random.normal(kWidth * kHidden, 0.1f)), down_bias = random.normal(kWidth);
  const Linear in = Linear::compact({up, up_bias, kHidden, kWidth}), out = Linear::compact({down, down_bias, kWidth, kHidden});
  const std::vector<float> start = random.normal(kRows * kWidth);
  std::vector<float> halved = start, want = start, y = start;
  for (float& value : halved) value /= 2;
  const std::vector<float> hidden = run(1, in, halved, kRows, {.activation = Activation::kGelu});
  out(context_with(1), hidden.data(), kRows, want.data(), {.add = true});
  const auto half_of_y = [&](int64_t row, float* to) {
    for (int64_t i = 0; i < kWidth; ++i) to[i] = y[row * kWidth + i] / 2;
    return to;
  };
  Linear::feed_forward(context_with(3), in, Activation::kGelu, out, half_of_y, kRows, y.data());
  CHECK(y == want);
}

TEST("a compact layer keeps float32 weights where float16 does not hold them exactly") {
  const std::vector<float> exact(64, 0.5f), inexact(64, 0.1f);
  const Linear half = Linear::compact({exact, {}, 8, 8}), full = Linear::compact({inexact, {}, 8, 8});
  CHECK(half.bytes() == 64 * sizeof(uint16_t));
  CHECK(full.bytes() == 64 * sizeof(float));
  const std::vector<float> x(8, 1.0f);
  for (const float value : run(1, full, x, 1)) CHECK_BELOW(std::abs(value - 0.8f), 1e-6);
}

TEST("a matrix by a vector equals the twin when its contiguous columns are longer than the sums that stay in the cache") {
  Random random(33);
  constexpr int64_t kRows = 10007, kInner = 7;
  const std::vector<float> m = random.normal(kRows * kInner), v = random.normal(kInner);
  const MatrixView a = transposed(matrix(m.data(), kInner, kRows)), b = matrix(v.data(), kInner, 1);
  const Matrix x = copy_of(a), y = copy_of(b);
  const std::vector<float> one = product(1, a, b);
  CHECK_BELOW(largest_relative(one, reference::matmul(x, y), sizes_of(x, y)), 1e-6);
  CHECK(product(3, a, b) == one);
}

TEST("sums of many equal numbers, whose rounding errors all have one sign, stay accurate by columns") {
  constexpr int64_t kInner = 1 << 15, kOuter = 64;
  const std::vector<float> v(kInner, 1.0f);
  double worst = 0;
  for (const float number : {0.1f, 0.3f, 0.7f, 1.1f}) {
    const std::vector<float> m(kInner * kOuter, number);
    const std::vector<float> got = product(2, transposed(matrix(m.data(), kInner, kOuter)), matrix(v.data(), kInner, 1));
    for (const float sum : got) worst = std::max(worst, std::abs(static_cast<double>(sum) / (static_cast<double>(number) * kInner) - 1));
  }
  check::note("largest relative difference " + std::to_string(worst * 1e6) + "e-6");
  CHECK_BELOW(worst, 4e-6);  // one sum of 4096 terms would be off by 1e-5
}

}  // namespace clip_es::matmul_test
