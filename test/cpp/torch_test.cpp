// LibTorch's matrix products behind our shapes and errors.
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>

#include "check.h"
#include "clip/linear.h"
#include "support.h"
#include "torch/library.h"
#include "torch/matmul.h"

using namespace clip_es;
using check::largest_difference;
using reference::Matrix;
using torch::MatrixView;

namespace {

Matrix copy_of(const MatrixView& m) {
  Matrix out(m.rows, m.columns);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.columns; ++j) out(i, j) = m.data[i * m.row_stride + j * m.column_stride];
  return out;
}

// A (rows, columns) view somewhere inside a larger matrix, in one of four layouts.
MatrixView view(const std::vector<float>& memory, int64_t rows, int64_t columns, int layout) {
  switch (layout) {
    case 0: return torch::matrix(memory.data(), rows, columns);
    case 1: return torch::transposed(torch::matrix(memory.data(), columns, rows));
    case 2: return {memory.data() + 5, rows, columns, columns + 11, 1};
    default: return torch::transposed({memory.data() + 5, columns, rows, rows + 11, 1});
  }
}

// Runs this test program again for one test, so that it starts with nothing loaded. Returns its exit status.
int run_alone(const std::string& sentence) {
  std::array<char, 4096> program{};
  if (readlink("/proc/self/exe", program.data(), program.size() - 1) < 0) throw std::runtime_error("cannot tell this program's path");
  std::ostringstream command;
  command << std::quoted(program.data()) << " --only " << std::quoted(sentence) << " >/dev/null 2>&1";
  return std::system(command.str().c_str());
}

// The body in a process that has loaded no LibTorch: a child where this one has.
void with_nothing_loaded(const std::string& sentence, const std::function<void()>& body) {
  if (libtorch_loaded()) CHECK(run_alone(sentence) == 0);
  else body();
}

}  // namespace

TEST("matmul equals the triple loop for plain, transposed and strided views of odd sizes") {
  test_context();
  Random random;
  double worst = 0;
  for (const int64_t rows : {1, 3, 65})
    for (const int64_t inner : {1, 7, 64, 130})
      for (const int64_t columns : {1, 2, 33})
        for (int layout = 0; layout < 16; ++layout) {
          const std::vector<float> a_memory = random.normal((rows + 11) * (inner + 11) + 5),
                                   b_memory = random.normal((inner + 11) * (columns + 11) + 5);
          const MatrixView a = view(a_memory, rows, inner, layout % 4), b = view(b_memory, inner, columns, layout / 4);
          const int64_t stride = columns + (layout % 3);
          std::vector<float> out(static_cast<size_t>(rows * stride), 9.0f);
          torch::matmul(a, b, out.data(), stride);
          const Matrix want = reference::matmul(copy_of(a), copy_of(b));
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < stride; ++j) {
              const float got = out[static_cast<size_t>(i * stride + j)];
              if (j >= columns) CHECK(got == 9.0f);  // what lies between rows is not ours
              else worst = std::max(worst, largest_difference(std::vector{got}, std::vector{want(i, j)}));
            }
        }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-4);
}

TEST("matmul shared among 1 to 4 threads equals the triple loop, from 0 rows on") {
  Random random(2);
  for (int threads = 1; threads <= 4; ++threads)
    for (const int64_t rows : {0, 1, 15, 16, 17, 33, 129}) {
      const std::vector<float> a = random.normal(rows * 40), b = random.normal(40 * 9);
      std::vector<float> out(static_cast<size_t>(rows * 9));
      torch::matmul(context_with(threads), torch::matrix(a.data(), rows, 40), torch::matrix(b.data(), 40, 9), out.data());
      CHECK_BELOW(largest_difference(out, reference::matmul(Matrix(rows, 40, a), Matrix(40, 9, b)).values), 2e-5);
    }
}

TEST("inner dimensions that differ are refused with both numbers, before anything is written") {
  test_context();
  const std::vector<float> memory(100, 1.0f);
  std::vector<float> out(100, 3.0f);
  const MatrixView a = torch::matrix(memory.data(), 4, 5), b = torch::matrix(memory.data(), 6, 3);
  CHECK_ERROR(torch::matmul(a, b, out.data(), 3), ErrorCode::kLibTorch, "5 and 6");
  CHECK_ERROR(torch::matmul(test_context(), a, b, out.data()), ErrorCode::kLibTorch, "5 and 6");
  CHECK_ERROR(torch::linear(a, torch::matrix(memory.data(), 3, 6), memory.data(), out.data()), ErrorCode::kLibTorch, "5 and 6");
  CHECK(out == std::vector<float>(100, 3.0f));
}

TEST("a float32 linear layer equals the twin with and without bias, for 1 to 130 rows") {
  Random random(4);
  for (const int threads : {1, 3})
    for (const int64_t rows : {1, 2, 33, 130})
      for (const bool with_bias : {false, true}) {
        const int64_t inputs = 96, outputs = 70;
        const std::vector<float> x = random.normal(rows * inputs), weight = random.normal(outputs * inputs, 0.1f);
        const std::vector<float> bias = random.normal(outputs);
        const Linear layer(weight, with_bias ? std::span<const float>(bias) : std::span<const float>(), inputs,
                                  Precision::kFloat32);
        CHECK(layer.inputs() == inputs && layer.outputs() == outputs);
        std::vector<float> y(static_cast<size_t>(rows * outputs));
        layer(context_with(threads), x.data(), rows, y.data());
        const std::vector<double> b =
            with_bias ? std::vector<double>(bias.begin(), bias.end()) : std::vector<double>(static_cast<size_t>(outputs));
        CHECK_BELOW(largest_difference(y, reference::linear(Matrix(rows, inputs, x), {Matrix(outputs, inputs, weight), b}).values), 1e-5);
      }
}

TEST("a packed layer equals the plain one at sizes that fill no tile, panel or block, on 1 to 3 threads") {
  test_context();
  Random random(7);
  for (const int64_t inputs : {1, 37, 768, 1000})
    for (const int64_t outputs : {1, 15, 33})
      for (const int64_t rows : {1, 5, 13, 400})
        for (int threads = 1; threads <= 3; ++threads) {
          const std::vector<float> weight = random.normal(outputs * inputs), bias = random.normal(outputs),
                                   x = random.normal(rows * inputs);
          std::vector<float> want(static_cast<size_t>(rows * outputs)), got(want.size());
          Linear layer(weight, bias, inputs, Precision::kFloat32);
          layer(context_with(threads), x.data(), rows, want.data());
          layer.pack(Precision::kFloat32);
          layer(context_with(threads), x.data(), rows, got.data());
          CHECK_BELOW(largest_difference(got, want), 1e-6 * static_cast<double>(inputs) + 1e-5);
        }
}

TEST("a packed layer's result is the same to the last bit on any number of threads") {
  Random random(8);
  const std::vector<float> weight = random.normal(40 * 100), x = random.normal(500 * 100);
  Linear layer(weight, {}, 100, Precision::kFloat32);
  layer.pack(Precision::kFloat32);
  std::vector<float> one(500 * 40), three(one.size());
  layer(context_with(1), x.data(), 500, one.data());
  layer(context_with(3), x.data(), 500, three.data());
  CHECK(one == three);
}

TEST("a compact layer holds binary16 weights in half the memory and multiplies as the plain one; others stay float32") {
  test_context();
  Random random(9);
  std::vector<float> weight = random.normal(33 * 65);
  for (float& value : weight) value = std::round(value * 64) / 64;
  weight[0] = 0x1p-24f;  // the smallest subnormal number
  weight[1] = -65504.0f;
  weight[2] = -0.0f;
  const std::vector<float> bias = random.normal(33), x = random.normal(20 * 65);
  const Linear plain(weight, bias, 65, Precision::kFloat32), compact = Linear::compact(weight, bias, 65);
  CHECK(compact.bytes() < plain.bytes() * 6 / 10);
  std::vector<float> want(20 * 33), got(want.size());
  plain(test_context(), x.data(), 20, want.data());
  compact(test_context(), x.data(), 20, got.data());
  CHECK(got == want);
  for (const float other : {1.0f + 0x1p-11f, 65520.0f, 0x1p-25f}) {
    weight[3] = other;
    CHECK(Linear::compact(weight, bias, 65).bytes() == plain.bytes());
  }
}

TEST("oneDNN's packed product is found and right in float32, which every processor multiplies") {
  test_context();
  CHECK(torch::packed_product_is_right('f'));
  check::note(torch::packed_product_is_right('b') ? "and in bfloat16" : "not in bfloat16 here");
}

constexpr const char* kNoLibrary = "a folder without LibTorch is refused with its name and the remedy";
TEST(kNoLibrary) {
  with_nothing_loaded(kNoLibrary, [] {
    CHECK_ERROR(torch::load_library("/no/such/folder"), ErrorCode::kLibTorch, "/no/such/folder");
    CHECK_ERROR(torch::load_library("/no/such/folder"), ErrorCode::kLibTorch, "npx clip-es setup");
  });
}

constexpr const char* kNotALibrary = "a libtorch_cpu.so that is no library is refused, and a further folder may still be tried";
TEST(kNotALibrary) {
  with_nothing_loaded(kNotALibrary, [] {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("clip-es-no-libtorch-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder / "lib");
    std::ofstream(folder / "lib" / "libtorch_cpu.so") << "not a library";
    CHECK_ERROR(torch::load_library(folder.string()), ErrorCode::kLibTorch, "does not load");
    CHECK_ERROR(torch::load_library("/no/such/folder"), ErrorCode::kLibTorch, "no LibTorch at /no/such/folder");
    std::filesystem::remove_all(folder);
  });
}

TEST("a second LibTorch beside the first is refused with both folders, and the same one again does nothing") {
  load_libtorch();
  torch::load_library(libtorch_folder());
  CHECK_ERROR(torch::load_library("/another/libtorch"), ErrorCode::kLibTorch, "/another/libtorch");
  CHECK_ERROR(torch::load_library("/another/libtorch"), ErrorCode::kLibTorch, libtorch_folder());
  CHECK(torch::version().find("2.") == 0);
  check::note("LibTorch " + torch::version());
}
