// The estimate of clip_es_bench: its formulas by numbers computed by hand, and the operations of a whole batch.
#include "bench/native/launch_costs.h"

#include "bench/native/blank_model.h"
#include "bench/native/estimate.h"
#include "check.h"
#include "clip/preprocess.h"

namespace clip_es::launch_costs_test {

using estimate::Cost, estimate::cost_of;

namespace {

constexpr double kTolerance = 1e-9;

void check_equal(double value, double expected) { CHECK_BELOW(std::abs(value - expected), kTolerance * expected + kTolerance); }

// expected: launches and the rest in the order of Cost.
void check_cost(const Cost& cost, const Cost& expected) {
  CHECK(cost.launches == expected.launches);
  check_equal(cost.bfloat16, expected.bfloat16);
  check_equal(cost.float32, expected.float32);
  check_equal(cost.float64, expected.float64);
  check_equal(cost.read, expected.read);
  check_equal(cost.written, expected.written);
  check_equal(cost.copied, expected.copied);
}

template <class T>
T* some_address() {
  return reinterpret_cast<T*>(uintptr_t{1} << 44);
}

}  // namespace

TEST("The cost of a layer norm counts only the arrays that it reads and writes") {
  float* const floats = some_address<float>();
  // 10 rows of 8: x and a bfloat16 residual are read, x and a bfloat16 y are written.
  check_cost(cost_of(cuda::LayerNorm{floats, floats, true, 10, 8, floats, floats, floats, true, nullptr}),
             {.launches = 1, .float32 = 80 + 8 * 80, .read = 80 * 4 + 80 * 2 + 2 * 8 * 4, .written = 80 * 4 + 80 * 2});
  // Only the residual is added.
  check_cost(cost_of(cuda::LayerNorm{floats, floats, false, 10, 8, nullptr, nullptr, nullptr, false, nullptr}),
             {.launches = 1, .float32 = 80, .read = 2 * 80 * 4, .written = 80 * 4});
  // Float32 y and rstd, without gamma.
  check_cost(cost_of(cuda::LayerNorm{floats, nullptr, false, 10, 8, nullptr, nullptr, floats, false, floats}),
             {.launches = 1, .float32 = 6 * 80, .read = 80 * 4, .written = 80 * 4 + 10 * 4});
}

TEST("The cost of a product depends on its type, and a bias is read once") {
  const torch::Dtype half = torch::Dtype::kBFloat16, full = torch::Dtype::kFloat32;
  check_cost(estimate::product_cost(torch::dense(nullptr, half, 3, 5), torch::dense(nullptr, half, 5, 7), half, true),
             {.launches = 1, .bfloat16 = 2 * 3 * 5 * 7, .read = 2 * (15 + 35 + 7), .written = 2 * 21});
  check_cost(estimate::product_cost(torch::dense(nullptr, full, 3, 5), torch::dense(nullptr, full, 5, 7), full, false),
             {.launches = 1, .float32 = 2 * 3 * 5 * 7, .read = 4 * (15 + 35), .written = 4 * 21});
  check_cost(estimate::product_cost(torch::dense(nullptr, half, 3, 5), torch::dense(nullptr, half, 5, 7), full, false),
             {.launches = 1, .bfloat16 = 2 * 3 * 5 * 7, .read = 2 * (15 + 35), .written = 4 * 21});
}

TEST("The cost of the mean attention counts tensor cores, exponentials and whether the mean is set or added to") {
  cuda::AddBFloat16AttentionMean in{.photos = {}, .width = 128, .heads = 2, .scale = 1, .factor = 1, .is_first = true};
  in.photos.add({nullptr, {}, 5, nullptr});
  in.photos.add({nullptr, {}, 5, nullptr});
  // Of a photo of 4 patches: 4 x 4 scores of 128 channels, 2 x 16 exponentials; q and k, the log-sum-exp and the mean.
  const Cost expected{.launches = 1,
                      .bfloat16 = 2 * 2 * 16 * 128,
                      .float32 = 2 * 32 * 16,
                      .read = 2 * (2 * 2 * 4 * 128 + 4 * 2 * 4),
                      .written = 2 * 4 * 16};
  check_cost(cost_of(in), expected);
  in.is_first = false;
  CHECK(cost_of(in).read == expected.read + 2 * 4 * 16);
}

TEST("The cost of the query weights has the probabilities once for every four rows of texts") {
  cuda::QueryWeights in{{}, nullptr, nullptr, 64, 1, 1, nullptr};
  in.parts.add({.patches = 10, .rows = 5});
  // 10 patches and 11 tokens: twice the probabilities, and of five rows dO v^T and the sum.
  check_cost(cost_of(in), {.launches = 1,
                           .float32 = 2 * 110 * (128 + 16) + 5 * 110 * (128 + 3),
                           .read = 4 * (3 * 11 * 64 + 11 + 5 * 10 * (64 + 1)),
                           .written = 4 * 5 * 11});
}

TEST("The cost of the query weights in bfloat16 has both products on tensor cores, and half of the bytes of qkv and dO") {
  cuda::BFloat16QueryWeights in{{}, nullptr, nullptr, 64, 1, 1, nullptr};
  in.parts.add({.patches = 10, .rows = 5});
  check_cost(cost_of(in), {.launches = 1,
                           .bfloat16 = 7 * 110 * 128,
                           .float32 = 2 * 110 * 16 + 5 * 110 * 3,
                           .read = 2 * (3 * 11 * 64 + 5 * 10 * 64) + 4 * (11 + 5 * 10),
                           .written = 4 * 5 * 11});
}

TEST("The cost of CAA is that of each photo's rounds and labels, and the matrix is read once") {
  cuda::RefineCams in{};
  cuda::RefineCamsPhoto photo{};
  photo.n = 40;  // two chunks of rows
  photo.labels = 2;
  photo.rounds = 3;
  in.photos.add(photo);
  check_cost(cost_of(in), {.launches = 1,
                           .float32 = (4 * 3 + 10 * 2) * 1600,
                           .read = 4 * (1600 + 2 * 2 * 40) + 2 * 40 + 4 * 2 * 40 * (3 + 2 * 2),
                           .written = 4 * 2 * 2 * 40 + 4 * 2 * 40 * (3 + 2 * 2)});
  const double one = cost_of(in).float32;
  photo.rounds = 0;
  in.photos.add(photo);
  CHECK(cost_of(in).launches == 1);
  check_equal(cost_of(in).float32, one + 10 * 2 * 1600);
}

TEST("A launch of several kernels or of no photo costs what it queues") {
  cuda::ScoreGradients scores{};
  CHECK(cost_of(scores).launches == 0);
  scores.photos.add({});
  CHECK(cost_of(scores).launches == 4);
  CHECK(cost_of(cuda::ResizeRows{}).launches == 0);
}

TEST("The time of a launch is the longest of arithmetic, memory, copy and launch") {
  const auto limit = [](const Cost& cost) { return estimate::time_on_h100(cost).limit; };
  CHECK(limit({.launches = 1, .bfloat16 = 1e12, .read = 1e6}) == estimate::Limit::kArithmetic);
  CHECK(limit({.launches = 1, .float32 = 1e6, .written = 1e9}) == estimate::Limit::kMemory);
  CHECK(limit({.launches = 1, .read = 1e9, .copied = 1e9}) == estimate::Limit::kCopy);
  CHECK(limit({.launches = 1, .float32 = 1e6, .read = 1e6}) == estimate::Limit::kLaunch);
  // 60 % of 989 TFLOP/s.
  check_equal(estimate::time_on_h100({.launches = 1, .bfloat16 = 593.4e12}).seconds, 1);
}

TEST("The estimate of a batch has the blocks' products, attention and mean attention, and photos share launches") {
  constexpr int64_t kWidth = 128, kLayers = 4;
  const BlankModel model({.patch = 16, .width = kWidth, .layers = kLayers, .resolution = 64, .embedding = 32});
  BenchOptions o;
  o.width = 80;
  o.height = 50;  // 5 x 4 patches
  o.threads = 1;
  o.precision = Precision::kBFloat16;
  const auto total_of = [&](const std::string& stage) {
    Cost total;
    for (const auto& [name, launches] : estimate::queue_batch(o, model))
      for (const estimate::Launch& launch : launches)
        if (name == stage) total += launch.cost;
    return total;
  };
  const double D = kWidth, N = 20, n = N + 1;
  const Cost one = total_of("blocks");
  const double values = 3 * 16 * 16;  // of a patch, which the stage embeds
  check_equal(one.bfloat16, 2 * N * D * values + (kLayers - 1) * (24 * n * D * D + 4 * n * n * D + 2 * N * N * D));
  o.batch = 3;
  const Cost three = total_of("blocks");
  CHECK(three.launches == one.launches);
  check_equal(three.bfloat16, 3 * one.bfloat16);
  CHECK(total_of("between").launches == 0);
}

TEST("The options of the estimate need no model, and an option that it would ignore is an error") {
  const auto parsed = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "clip_es_bench");
    return parse(static_cast<int>(arguments.size()), arguments.data());
  };
  const auto problem = [&](const std::vector<const char*>& arguments) -> std::string {
    try {
      parsed(arguments);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "";
  };
  const BenchOptions o = parsed({"--estimate", "--device", "cuda", "--batch", "16"});
  CHECK(o.estimate && o.model.empty() && o.batch == 16);
  CHECK(problem({"--device", "cuda", "--estimate", "--repeat", "3"}).starts_with("--repeat cannot be used with --estimate"));
  CHECK(problem({"--estimate"}) == "--estimate is for GPUs; pass --device cuda");
  CHECK(problem({"--device", "cuda", "--estimate", "--precision", "int8"}).starts_with("a GPU has no precision 'int8'"));
  CHECK(problem({"--model"}) == "--model is missing; pass a model file");
  CHECK(problem({"--estimates"}) == "there is no option '--estimates'");
  CHECK(parsed({"--help"}).help);
}

}  // namespace clip_es::launch_costs_test
