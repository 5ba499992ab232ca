// The last block and GradCAM of the CUDA device compared with the CPU's, at odd sizes.
#include <algorithm>
#include <array>
#include <cmath>

#include "cam/last_block_forward.h"
#include "cam/softmax_gradcam.h"
#include "check.h"
#include "cuda_support.h"
#include "golden.h"
#include "segment_job.h"
#include "support.h"

namespace clip_es::cuda_last_block_test {

using check::largest_difference;

namespace {

// The largest difference divided by the largest absolute value of `want`.
double relative(const std::vector<float>& got, std::span<const float> want) {
  double largest = 1e-30;
  for (const float value : want) largest = std::max(largest, static_cast<double>(std::abs(value)));
  return largest_difference(got, want) / largest;
}

std::vector<float> to_host(DeviceSpan<float> memory) {
  std::vector<float> values(memory.size());
  test_gpu()->copy_out(cuda::address(memory), static_cast<int64_t>(memory.size()), values.data());
  return values;
}

// Of memory that holds two bfloat16 in each float.
std::vector<float> halves_to_host(DeviceSpan<float> memory) {
  std::vector<uint16_t> values(2 * memory.size());
  test_gpu()->copy_out(reinterpret_cast<uint16_t*>(cuda::address(memory)), std::ssize(values), values.data());
  return from_bfloat16(values);
}

// Two photos of different sizes, with their words.
struct TwoPhotos {
  std::array<int64_t, 2> tokens;
  std::array<std::vector<int64_t>, 2> first_row{{{0, 2, 3, 6}, {0, 1}}};
  std::vector<float> x, rows, background;  // the tokens of both; the second photo has the first of the rows
  int64_t embedding;

  TwoPhotos(Random& random, std::array<int64_t, 2> token_counts, int64_t width, int64_t embedding_size)
      : tokens(token_counts),
        x(random.normal((tokens[0] + tokens[1]) * width)),
        rows(random.unit_rows(6, embedding_size)),
        background(random.unit_rows(3, embedding_size)),
        embedding(embedding_size) {}

  int64_t labels(size_t photo) const { return std::ssize(first_row[photo]) - 1; }
  int64_t patches(size_t photo) const { return tokens[photo] - 1; }
  Grid grid(size_t photo) const { return {1, patches(photo)}; }
  LabelTexts texts(size_t photo) const {
    return {std::span(rows).first(first_row[photo].back() * embedding), first_row[photo], background};
  }
};

// The results of the last block and of GradCAM, one photo after the other.
struct TwoResults {
  std::vector<float> memory, mean, logits, probabilities, cams;

  TwoResults(const TwoPhotos& photos, const LastBlockShape& shape) {
    for (const size_t i : {0, 1}) {
      memory.resize(memory.size() + last_block_floats(shape, photos.tokens[i]));
      mean.resize(mean.size() + photos.patches(i) * photos.patches(i));
      logits.resize(logits.size() + photos.labels(i) + 3);
      cams.resize(cams.size() + photos.labels(i) * photos.patches(i));
    }
    probabilities = logits;
  }
};

// Cuts an array of both photos into its two parts.
template <class Span>
std::array<Span, 2> cut(Span both, int64_t first) {
  return {both.first(static_cast<size_t>(first)), both.subspan(static_cast<size_t>(first))};
}

void run_on_cpu(const TestModel& test, const TwoPhotos& photos, const LastBlockShape& shape, TwoResults& r,
                std::array<HostLastBlock, 2>& blocks, Precision precision) {
  HostContext& host = test_context();
  blocks = {HostLastBlock{.tokens = photos.tokens[0]}, HostLastBlock{.tokens = photos.tokens[1]}};
  lay_out_last_blocks(shape, std::span<HostLastBlock>(blocks), HostSpan<float>(r.memory));
  const auto means = cut(HostSpan<float>(r.mean), photos.patches(0) * photos.patches(0));
  const LastBlockWeights weights = make_last_block_weights(host, test.last, precision);
  run_last_block(host, test.fast, weights, photos.x, blocks, means);
  const auto logits = cut(HostSpan<float>(r.logits), photos.labels(0) + 3),
             probabilities = cut(HostSpan<float>(r.probabilities), photos.labels(0) + 3),
             cams = cut(HostSpan<float>(r.cams), photos.labels(0) * photos.patches(0));
  for (const size_t i : {0, 1})
    softmax_gradcam(host, test.fast, weights, blocks[i], photos.texts(i), logits[i], probabilities[i],
                    {cams[i], photos.labels(i), photos.grid(i)});
}

// The largest differences of the GPU's results from the CPU's.
struct Worst {
  double block = 0, mean = 0, probabilities = 0, logits = 0, cams = 0;
};

// Runs the last block and GradCAM of two photos on the GPU and on the CPU.
void compare(Random& random, const TransformerShape& shape, const std::array<int64_t, 2>& tokens, Precision precision, Worst& worst) {
  const int64_t embedding = 37;
  const TestModel test = random_last_block(random, shape, embedding);
  const LastBlockShape host_shape{shape.width, test.fast.last_hidden, shape.heads};
  const TwoPhotos photos(random, tokens, shape.width, embedding);
  TwoResults want(photos, host_shape), got(photos, host_shape);
  std::array<HostLastBlock, 2> blocks;
  run_on_cpu(test, photos, host_shape, want, blocks, precision);

  cuda::CudaDevice device(test_gpu());
  device.load(test_context(), TestSource(test), precision);
  DeviceContext c{test_context().pool, device.arena()};
  const GpuArray<float> g_x(photos.x), g_memory(std::ssize(want.memory)), g_mean(std::ssize(want.mean)), g_cams(std::ssize(want.cams));
  std::array<DeviceLastBlock, 2> on_gpu{DeviceLastBlock{.tokens = tokens[0]}, DeviceLastBlock{.tokens = tokens[1]}};
  lay_out_last_blocks(device.last_block_shape(), std::span<DeviceLastBlock>(on_gpu), g_memory.span());
  const auto means = cut(g_mean.span(), photos.patches(0) * photos.patches(0));
  const auto logits = cut(HostSpan<float>(got.logits), photos.labels(0) + 3),
             probabilities = cut(HostSpan<float>(got.probabilities), photos.labels(0) + 3);
  const auto cams = cut(g_cams.span(), photos.labels(0) * photos.patches(0));
  std::array<GradCamOfPhoto, 2> gradcams;
  for (const size_t i : {0, 1})
    gradcams[i] = {on_gpu[i], photos.texts(i), {cams[i], photos.labels(i), photos.grid(i)}, logits[i], probabilities[i]};
  const auto run = [&] {
    device.begin();
    test_gpu()->clear(g_mean.data(), std::ssize(want.mean));
    device.run_last_block(c, g_x.span(), on_gpu, means);
    device.softmax_gradcam(c, gradcams);
    device.finish();
  };
  in_every_order(run, [&] { return g_cams.host(); });
  const auto compare_part = [&](auto gpu_span, auto cpu_span, auto read) {
    for (const size_t i : {0, 1}) worst.block = std::max(worst.block, relative(read(on_gpu[i].*gpu_span), blocks[i].*cpu_span));
  };
  const auto read_product = precision == Precision::kFloat32 ? to_host : halves_to_host;
#define COMPARE(part, read) compare_part(&DeviceLastBlock::part, &HostLastBlock::part, read)
  COMPARE(y, read_product);
  COMPARE(qkv, read_product);
  COMPARE(attended, read_product);
  COMPARE(u, read_product);
  COMPARE(omega, read_product);
  COMPARE(h_hat_out, read_product);
  COMPARE(z_hat_out, read_product);
  COMPARE(log_sum_exp, to_host);
  COMPARE(rstd_2, to_host);
  COMPARE(rstd_post, to_host);
  COMPARE(z_hat, to_host);
  COMPARE(pooled, to_host);
#undef COMPARE
  worst.mean = std::max(worst.mean, relative(g_mean.host(), want.mean));
  worst.probabilities = std::max(worst.probabilities, largest_difference(got.probabilities, want.probabilities));
  worst.logits = std::max(worst.logits, largest_relative(got.logits, want.logits));
  worst.cams = std::max(worst.cams, largest_difference(g_cams.host(), want.cams));
}

void note(const Worst& worst) {
  check::note("largest differences: block " + number(worst.block) + ", mean attention " + number(worst.mean) + ", probabilities " +
              number(worst.probabilities) + ", logits " + number(worst.logits) + ", CAMs " + number(worst.cams));
}

}  // namespace

TEST("CUDA: the last block and GradCAM of two photos equal the CPU's for 1 to 66 patches, head sizes 32, 64 and 80, and synonyms") {
  Random random;
  Worst worst;
  for (const TransformerShape shape : {TransformerShape{96, 3, Activation::kGelu}, TransformerShape{64, 1, Activation::kQuickGelu},
                                       TransformerShape{160, 2, Activation::kQuickGelu}})
    for (const std::array<int64_t, 2> tokens : {std::array<int64_t, 2>{2, 8}, std::array<int64_t, 2>{67, 3}})
      compare(random, shape, tokens, Precision::kFloat32, worst);
  note(worst);
  CHECK_BELOW(worst.block, 2e-5);
  CHECK_BELOW(worst.mean, 2e-5);
  CHECK_BELOW(worst.probabilities, 1e-5);
  CHECK_BELOW(worst.logits, 1e-5);
  CHECK_BELOW(worst.cams, 5e-5);
}

TEST("CUDA: in bfloat16 the last block and GradCAM of two photos are near the CPU's in bfloat16, for 7 to 66 patches and synonyms") {
  Random random;
  Worst worst;
  for (const TransformerShape shape : {TransformerShape{64, 1, Activation::kQuickGelu}, TransformerShape{192, 3, Activation::kGelu}})
    for (const std::array<int64_t, 2> tokens : {std::array<int64_t, 2>{20, 20}, std::array<int64_t, 2>{67, 8}})
      compare(random, shape, tokens, Precision::kBFloat16, worst);
  note(worst);
  CHECK_BELOW(worst.block, 0.012);
  CHECK_BELOW(worst.mean, 5e-3);
  CHECK_BELOW(worst.probabilities, 2e-3);
  CHECK_BELOW(worst.logits, 0.013);
  CHECK_BELOW(worst.cams, 0.014);
}

TEST("CUDA: a last block that is cancelled while it runs stops before it computes what only the gradients need") {
  need_libtorch();
  Random random;
  const int64_t n = 7, width = 64, patches = n - 1;
  const TestModel test = random_last_block(random, {width, 1, Activation::kGelu}, 16);
  const LastBlockShape shape{width, test.fast.last_hidden, 1};
  cuda::CudaDevice device(test_gpu());
  device.load(test_context(), TestSource(test), Precision::kFloat32);
  // The stage takes its first memory after its first checkpoint.
  std::atomic<bool> cancelled{false};
  const MemorySource source = cuda::Gpu::memory(test_gpu());
  Arena memory({[&](size_t bytes) {
                  cancelled = true;
                  return source.allocate(bytes);
                },
                source.limit});
  DeviceArena arena(memory);
  DeviceContext c{test_context().pool, arena, &cancelled};
  const GpuArray<float> x(random.normal(n * width)), mean(patches * patches);
  const GpuArray<float> floats(std::vector<float>(last_block_floats(shape, n), kUntouched));
  DeviceLastBlock last{.tokens = n};
  lay_out_last_blocks(shape, std::span(&last, 1), floats.span());
  const DeviceSpan<float> means[] = {mean.span()};
  bool stopped = false;
  device.begin();
  try {
    device.run_last_block(c, x.span(), {&last, 1}, means);
  } catch (const Cancelled&) {
    stopped = true;
  }
  device.finish();
  CHECK(stopped);
  CHECK(std::ranges::count(to_host(last.pooled), kUntouched) == 0);
  CHECK(is_untouched(to_host(last.omega)) && is_untouched(to_host(last.h_hat_out)) && is_untouched(to_host(last.z_hat_out)));
}

}  // namespace clip_es::cuda_last_block_test
