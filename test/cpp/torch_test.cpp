// Tests of cpp/torch on the CPU: how LibTorch is found and loaded, and its matrix products.
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>

#include "check.h"
#include "support.h"
#include "torch/backend.h"
#include "torch/library.h"
#include "torch/packed_weight.h"

namespace clip_es::torch_test {

using check::largest_difference;
using reference::Matrix;
using torch::Backend;
using torch::Batch;
using torch::Dtype;

namespace {

Matrix copy_of(const Batch& m, int64_t batch) {
  const float* data = static_cast<const float*>(m.data) + batch * m.batch_stride;
  Matrix out(m.rows, m.columns);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.columns; ++j) out(i, j) = data[i * m.row_stride + j * m.column_stride];
  return out;
}

// A batch of three matrices (rows, columns) in `memory`. layout: 0 row-major, 1 transposed, 2 and 3 the same with gaps between the rows.
Batch view(const std::vector<float>& memory, int64_t rows, int64_t columns, int layout) {
  const int64_t gap = layout / 2 * 7;
  if (layout % 2 == 0) return {memory.data(), Dtype::kFloat32, 3, rows, columns, rows * (columns + gap), columns + gap, 1};
  return torch::transposed({memory.data(), Dtype::kFloat32, 3, columns, rows, columns * (rows + gap), rows + gap, 1});
}

// Runs one test in a new process of this program, where LibTorch is not loaded. Returns the exit status. before, options: of the command.
int run_alone(const std::string& title, const std::string& before = "", const std::string& options = "") {
  std::array<char, 4096> program{};
  if (readlink("/proc/self/exe", program.data(), program.size() - 1) < 0)
    throw std::runtime_error("cannot read /proc/self/exe, the path of this program");
  std::ostringstream command;
  command << before << ' ' << std::quoted(program.data()) << ' ' << options << " --only " << std::quoted(title) << " >/dev/null 2>&1";
  return std::system(command.str().c_str());
}

// Runs the body in a process without LibTorch. If this process has already loaded it, that is a child process.
void without_libtorch(const std::string& title, const std::function<void()>& body) {
  if (torch::is_loaded()) CHECK(run_alone(title) == 0);
  else body();
}

}  // namespace

TEST("LibTorch: batched products equal the triple loop for plain, transposed and strided matrices of odd sizes") {
  need_libtorch();
  const Backend backend = Backend::host();
  const Backend::Guard guard(backend, nullptr);
  Random random;
  for (const int64_t rows : {1, 3, 33})
    for (const int64_t inner : {1, 7, 65})
      for (const int64_t columns : {2, 19})
        for (int layout = 0; layout < 16; ++layout) {
          const std::vector<float> a_memory = random.normal(3 * (rows + 7) * (inner + 7)),
                                   b_memory = random.normal(3 * (inner + 7) * (columns + 7));
          const Batch a = view(a_memory, rows, inner, layout % 4), b = view(b_memory, inner, columns, layout / 4);
          std::vector<float> out(static_cast<size_t>(3 * rows * columns), 9.0f);
          const Batch to{out.data(), Dtype::kFloat32, 3, rows, columns, rows * columns, columns, 1};
          for (const bool add : {false, true}) {
            backend.bmm(a, b, to, add);
            for (int64_t batch = 0; batch < 3; ++batch) {
              Matrix want = reference::matmul(copy_of(a, batch), copy_of(b, batch));
              if (add)
                for (double& value : want.values) value *= 2;
              const std::span<const float> got = std::span(out).subspan(batch * rows * columns, want.values.size());
              CHECK_BELOW(largest_difference(got, want.values), 1e-4);
            }
          }
        }
}

TEST("LibTorch: a product adds its bias to each row") {
  need_libtorch();
  const Backend backend = Backend::host();
  const Backend::Guard guard(backend, nullptr);
  Random random(2);
  const std::vector<float> a = random.normal(5 * 37), b = random.normal(37 * 9), bias = random.normal(9);
  std::vector<float> out(5 * 9);
  const Batch to = torch::dense(out.data(), Dtype::kFloat32, 5, 9);
  backend.mm(torch::dense(a.data(), Dtype::kFloat32, 5, 37), torch::dense(b.data(), Dtype::kFloat32, 37, 9), to, bias.data());
  Matrix want = reference::matmul(Matrix(5, 37, a), Matrix(37, 9, b));
  for (size_t i = 0; i < want.values.size(); ++i) want.values[i] += bias[i % 9];
  CHECK_BELOW(largest_difference(out, want.values), 2e-5);
}

TEST("LibTorch: a product is refused if its result has the wrong shape or type; the error names the shapes, and nothing is written") {
  need_libtorch();
  const Backend backend = Backend::host();
  const std::vector<float> memory(100, 1.0f);
  std::vector<float> out(100, 3.0f);
  const auto of = [](const std::vector<float>& values, int64_t rows, int64_t columns) {
    return torch::dense(values.data(), Dtype::kFloat32, rows, columns);
  };
  CHECK_ERROR(backend.mm(of(memory, 4, 5), of(memory, 6, 3), of(out, 4, 3)), ErrorCode::kLibTorch, "(1, 4, 5) and (1, 6, 3)");
  CHECK_ERROR(backend.bmm(of(memory, 4, 5), of(memory, 5, 3), of(out, 4, 4)), ErrorCode::kLibTorch, "does not fit into (1, 4, 4)");
  const torch::Batch half = torch::dense(memory.data(), Dtype::kBFloat16, 4, 4);
  CHECK_ERROR(backend.mm(of(memory, 4, 5), of(memory, 5, 4), half), ErrorCode::kLibTorch, "a result of another type");
  CHECK_ERROR(backend.mm(half, half, of(out, 4, 4)), ErrorCode::kLibTorch, "a result of another type");  // only a GPU has this product
  CHECK(out == std::vector<float>(100, 3.0f));
}

TEST("LibTorch: oneDNN's packed product is found and is correct in float32, which every CPU supports") {
  need_libtorch();
  CHECK(torch::packed_product_works(Dtype::kFloat32));
  check::note(torch::packed_product_works(Dtype::kBFloat16) ? "also correct in bfloat16" : "not available in bfloat16 on this CPU");
}

#if defined(__x86_64__)
constexpr const char* kNoBfloat16 = "LibTorch: where oneDNN has no instructions for bfloat16, its packed product is not used";
TEST(kNoBfloat16) {
  need_libtorch();
  if (!std::getenv("ONEDNN_MAX_CPU_ISA")) {
    CHECK(run_alone(kNoBfloat16, "ONEDNN_MAX_CPU_ISA=AVX2", "--libtorch '" + libtorch_folder() + "'") == 0);
    return;
  }
  CHECK(torch::packed_product_works(Dtype::kFloat32) && !torch::packed_product_works(Dtype::kBFloat16));
  const std::vector<float> weight(64, 1.0f);
  CHECK(torch::PackedWeight::make(weight.data(), 8, 8) == nullptr);
}
#endif

constexpr const char* kNothing = "without LibTorch there are no packed weights and no backend, and use_one_thread() does nothing";
TEST(kNothing) {
  without_libtorch(kNothing, [] {
    torch::use_one_thread();
    const std::vector<float> weight(64, 1.0f);
    CHECK(!torch::is_loaded());
    CHECK(torch::PackedWeight::make(weight.data(), 8, 8) == nullptr);
    CHECK_ERROR(Backend::host(), ErrorCode::kLibTorch, "no LibTorch is loaded");
  });
}

constexpr const char* kNoLibrary = "a folder without LibTorch is refused; the error names the folder and the remedy";
TEST(kNoLibrary) {
  without_libtorch(kNoLibrary, [] {
    CHECK_ERROR(torch::load_library("/no/such/folder"), ErrorCode::kLibTorch, "/no/such/folder");
    CHECK_ERROR(torch::load_library("/no/such/folder"), ErrorCode::kLibTorch, "npx clip-es setup --cuda");
  });
}

constexpr const char* kNotALibrary = "a libtorch_cpu.so that is not a library is refused, and another folder can be tried afterwards";
TEST(kNotALibrary) {
  without_libtorch(kNotALibrary, [] {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("clip-es-no-libtorch-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder / "lib");
    std::ofstream(folder / "lib" / "libtorch_cpu.so") << "not a library";
    CHECK_ERROR(torch::load_library(folder.string()), ErrorCode::kLibTorch, "does not load");
    CHECK_ERROR(torch::load_library("/no/such/folder"), ErrorCode::kLibTorch, "no LibTorch at /no/such/folder");
    CHECK(!torch::try_load_library(folder.string()) && !torch::is_loaded());
    std::filesystem::remove_all(folder);
  });
}

TEST("a second LibTorch is refused with the names of both folders, and loading the first one again does nothing") {
  need_libtorch();
  torch::load_library(libtorch_folder());
  CHECK_ERROR(torch::load_library("/another/libtorch"), ErrorCode::kLibTorch, "/another/libtorch");
  CHECK_ERROR(torch::load_library("/another/libtorch"), ErrorCode::kLibTorch, libtorch_folder());
  CHECK(torch::version().find("2.") == 0);
  check::note("LibTorch " + torch::version());
}

}  // namespace clip_es::torch_test
