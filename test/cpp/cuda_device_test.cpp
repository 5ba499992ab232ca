// The CUDA device compared with the CPU: the last block and GradCAM at odd sizes, and a segmenter from photo to mask.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "cam/last_block_forward.h"
#include "cam/softmax_gradcam.h"
#include "check.h"
#include "cuda_support.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

using namespace clip_es;
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

std::unique_ptr<Segmenter> cuda_segmenter(Precision precision, int64_t max_side = 0) {
  need_libtorch();
  return std::make_unique<Segmenter>(options().golden + kSmallModel,
                                     SegmenterSettings{.precision = precision, .threads = 2, .max_side = max_side}, nullptr,
                                     std::make_unique<cuda::CudaDevice>(test_gpu()));
}

SegmentJob segment(Segmenter& segmenter, const Case& c) {
  SegmentJob job(c);
  Request request = job.request();
  segmenter.segment({&request, 1});
  request.rethrow_failure();
  CHECK(request.times.encode > 0 && request.times.mask > 0);
  return job;
}

double differing(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) { return differing_percent(a, {b.begin(), b.end()}); }

}  // namespace

namespace {

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
                std::array<HostLastBlock, 2>& blocks) {
  HostContext& host = test_context();
  blocks = {HostLastBlock{.tokens = photos.tokens[0]}, HostLastBlock{.tokens = photos.tokens[1]}};
  lay_out_last_blocks(shape, std::span<HostLastBlock>(blocks), HostSpan<float>(r.memory));
  const auto means = cut(HostSpan<float>(r.mean), photos.patches(0) * photos.patches(0));
  const LastBlockWeights weights = make_last_block_weights(host, test.last, Precision::kFloat32);
  run_last_block(host, test.fast, weights, photos.x, blocks, means);
  const auto logits = cut(HostSpan<float>(r.logits), photos.labels(0) + 3),
             probabilities = cut(HostSpan<float>(r.probabilities), photos.labels(0) + 3),
             cams = cut(HostSpan<float>(r.cams), photos.labels(0) * photos.patches(0));
  for (const size_t i : {0, 1})
    softmax_gradcam(host, test.fast, weights, blocks[i], photos.texts(i), logits[i], probabilities[i],
                    {cams[i], photos.labels(i), photos.grid(i)});
}

}  // namespace

TEST("CUDA: the last block and GradCAM of two photos equal the CPU's for 1 to 66 patches, head sizes 32, 64 and 80, and synonyms") {
  Random random;
  double worst_block = 0, worst_cams = 0;
  for (const TransformerShape shape : {TransformerShape{96, 3, Activation::kGelu}, TransformerShape{64, 1, Activation::kQuickGelu},
                                       TransformerShape{160, 2, Activation::kQuickGelu}})
    for (const std::array<int64_t, 2> tokens : {std::array<int64_t, 2>{2, 8}, std::array<int64_t, 2>{67, 3}}) {
      const int64_t embedding = 37;
      const TestModel test = random_last_block(random, shape, embedding);
      const LastBlockShape block_shape{shape.width, test.fast.last_hidden, shape.heads};
      const TwoPhotos photos(random, tokens, shape.width, embedding);
      TwoResults want(photos, block_shape), got(photos, block_shape);
      std::array<HostLastBlock, 2> blocks;
      run_on_cpu(test, photos, block_shape, want, blocks);

      cuda::CudaDevice device(test_gpu());
      device.load(test_context(), TestSource(test), Precision::kFloat32);
      DeviceContext c{test_context().pool, device.arena()};
      const GpuArray<float> g_x(photos.x), g_memory(std::ssize(want.memory)), g_mean(std::ssize(want.mean)), g_cams(std::ssize(want.cams));
      std::array<DeviceLastBlock, 2> on_gpu{DeviceLastBlock{.tokens = tokens[0]}, DeviceLastBlock{.tokens = tokens[1]}};
      lay_out_last_blocks(block_shape, std::span<DeviceLastBlock>(on_gpu), g_memory.span());
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
      const auto compare = [&](auto gpu_span, auto cpu_span) {
        for (const size_t i : {0, 1}) worst_block = std::max(worst_block, relative(to_host(on_gpu[i].*gpu_span), blocks[i].*cpu_span));
      };
#define COMPARE(part) compare(&DeviceLastBlock::part, &HostLastBlock::part)
      COMPARE(y);
      COMPARE(qkv);
      COMPARE(attended);
      COMPARE(log_sum_exp);
      COMPARE(u);
      COMPARE(omega);
      COMPARE(rstd_2);
      COMPARE(rstd_post);
      COMPARE(z_hat);
      COMPARE(h_hat_out);
      COMPARE(z_hat_out);
      COMPARE(pooled);
#undef COMPARE
      worst_block = std::max(worst_block, relative(g_mean.host(), want.mean));
      CHECK_BELOW(largest_difference(got.probabilities, want.probabilities), 1e-5);
      CHECK_BELOW(largest_relative(got.logits, want.logits), 1e-5);
      worst_cams = std::max(worst_cams, largest_difference(g_cams.host(), want.cams));
    }
  check::note("largest difference " + number(worst_block) + ", of the CAMs " + number(worst_cams));
  CHECK_BELOW(worst_block, 2e-5);
  CHECK_BELOW(worst_cams, 5e-5);
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

TEST("CUDA: a float32 segmenter's mask equals the CPU's on 99.9 % of the pixels; bfloat16 maps differ by less than 0.05 on average") {
  const Case c = small_case("astronaut_97x128");
  need_libtorch();
  Segmenter cpu(c.model_path, {.threads = 3, .max_side = 0});
  const SegmentJob want = segment(cpu, c);
  const auto exact = cuda_segmenter(Precision::kFloat32);
  CHECK(exact->device() == "cuda:" + std::to_string(test_gpu()->index()) && exact->precision() == Precision::kFloat32);
  const SegmentJob got = segment(*exact, c);
  CHECK(differing(got.mask, want.mask) <= 0.1);
  CHECK_BELOW(largest_difference(got.scores, want.scores), 5e-5);
  CHECK_BELOW(largest_difference(got.maps, want.maps), 1e-4);

  const auto half = cuda_segmenter(Precision::kBFloat16);
  CHECK(half->precision() == Precision::kBFloat16);
  const SegmentJob rough = segment(*half, c);
  double sum = 0;
  for (size_t i = 0; i < rough.maps.size(); ++i) sum += std::abs(static_cast<double>(rough.maps[i]) - want.maps[i]);
  const double mean = sum / static_cast<double>(rough.maps.size());
  check::note("bfloat16, maps: mean difference " + number(mean) + ", largest " + number(largest_difference(rough.maps, want.maps)) + "; " +
              number(differing(rough.mask, want.mask)) + " % of the mask's pixels");
  CHECK(rough.maps != want.maps);
  CHECK_BELOW(mean, 0.05);
}

TEST("CUDA: grey, RGB, RGBA and padded BGRA photos, maxSide, the CRF, encoded photos and their embeddings give the CPU's results") {
  const Case c = small_case("coffee_176x100");
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  const Words words(c);
  need_libtorch();
  Segmenter cpu(c.model_path, {.threads = 3, .max_side = 70});
  const auto gpu = cuda_segmenter(Precision::kFloat32, 70);
  const auto pixels = static_cast<size_t>(photo.width * photo.height);
  std::vector<uint8_t> grey, rgba;
  for (size_t i = 0; i < pixels; ++i) {
    grey.push_back(photo.rgb[3 * i]);
    rgba.insert(rgba.end(), {photo.rgb[3 * i], photo.rgb[3 * i + 1], photo.rgb[3 * i + 2], 9});
  }
  const int64_t row_bytes = 4 * photo.width + 12;
  std::vector<uint8_t> bgra(row_bytes * photo.height, 99);
  for (int64_t y = 0; y < photo.height; ++y)
    for (int64_t x = 0; x < photo.width; ++x)
      for (int64_t channel = 0; channel < 3; ++channel)
        bgra[y * row_bytes + 4 * x + channel] = photo.rgb[3 * (y * photo.width + x) + 2 - channel];
  SegmentSettings with_crf;
  with_crf.crf.emplace();
  const std::vector<Image> images = {{photo.rgb.data(), photo.width, photo.height, 3},
                                     {grey.data(), photo.width, photo.height, 1},
                                     {rgba.data(), photo.width, photo.height, 4},
                                     {bgra.data(), photo.width, photo.height, 4, row_bytes, true}};
  for (const Image& image : images)
    for (const SegmentSettings& settings : {SegmentSettings{}, with_crf}) {
      std::vector<uint8_t> want(pixels), got(pixels), kept(pixels);
      StageTimes times;
      const auto request = [&](std::vector<uint8_t>& mask) {
        return Request{.image = image, .texts = words.label_texts(), .settings = settings, .outputs = {{mask.data()}, nullptr}};
      };
      run(cpu, request(want));
      run(*gpu, request(got));
      const auto encoded = gpu->encode(image, times);
      Request of_encoded = request(kept);
      of_encoded.encoded = encoded.get();
      run(*gpu, of_encoded);
      CHECK(kept == got);
      CHECK(differing(got, want) <= 0.1);
      const auto size = static_cast<size_t>(gpu->model().shape.embedding), patches = static_cast<size_t>(encoded->encoding.grid.patches());
      std::vector<float> gpu_image(size), gpu_patches(size * patches), cpu_image(size), cpu_patches(size * patches);
      gpu->embeddings(*encoded, gpu_image, gpu_patches);
      cpu.embeddings(*cpu.encode(image, times), cpu_image, cpu_patches);
      CHECK_BELOW(largest_difference(gpu_image, cpu_image), 1e-4);
      CHECK_BELOW(largest_difference(gpu_patches, cpu_patches), 1e-4);
    }
}

TEST("CUDA: a segmenter allocates nothing for a size that it has seen, and still works after a cancelled and a refused call") {
  const Case c = small_case("chelsea_150x113");
  const auto segmenter = cuda_segmenter(Precision::kFloat32);
  const SegmentJob first = segment(*segmenter, c);
  segment(*segmenter, c);
  const uint64_t settled = segmenter->allocations();
  SegmentJob job(c);
  const std::atomic<bool> cancelled{true};
  bool stopped = false;
  try {
    run(*segmenter, job.request(), &cancelled);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped);
  const std::vector<int64_t> one_row{0, 1};
  Request one_label = job.request();
  one_label.texts = {std::span(job.words.rows).first(job.words.texts.shape[1]), one_row, {}, std::span(job.words.value).first(1)};
  CHECK_ERROR(run(*segmenter, one_label), ErrorCode::kInvalidArg, "one label and no background");
  const SegmentJob again = segment(*segmenter, c);
  CHECK(again.mask == first.mask && again.maps == first.maps);
  CHECK(segmenter->allocations() == settled);
}

TEST("CUDA: int8, and bfloat16 with a head size other than 64, are refused with the remedy") {
  Random random;
  TestModel model = random_last_block(random, {96, 3, Activation::kGelu}, 16);
  cuda::CudaDevice device(test_gpu());
  CHECK_ERROR(device.load(test_context(), TestSource(model), Precision::kBFloat16), ErrorCode::kModelFormat, "use precision 'float32'");
  CHECK_ERROR(device.load(test_context(), TestSource(model), Precision::kInt8), ErrorCode::kInvalidArg, "works only on the CPU");
}
