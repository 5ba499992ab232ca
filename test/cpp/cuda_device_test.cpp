// The CUDA device compared with the CPU: a segmenter from photo to mask.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "cuda_support.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

namespace clip_es::cuda_device_test {

using check::largest_difference;

namespace {

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

TEST("CUDA: the embeddings of crops are the CPU's") {
  const Case c = small_case("coffee_176x100");
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  need_libtorch();
  Segmenter cpu(c.model_path, {.threads = 3});
  const auto gpu = cuda_segmenter(Precision::kFloat32);
  const PixelBox boxes[] = {{0, 0, 170, 100}, {20, 30, 51, 57}, {175, 99, 176, 100}};
  std::vector<float> want(std::size(boxes) * cpu.model().shape.embedding), got(want.size());
  const Image image{photo.rgb.data(), photo.width, photo.height, 3};
  StageTimes times;
  cpu.embed_crops(image, boxes, want, times);
  gpu->embed_crops(image, boxes, got, times);
  CHECK_BELOW(largest_difference(got, want), 1e-4);
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

TEST(
    "CUDA: int8, heads of more than 128 channels, and bfloat16 with a head size other than 64 or an odd number of units, are refused with "
    "the "
    "remedy") {
  Random random;
  TestModel model = random_last_block(random, {96, 3, Activation::kGelu}, 16);
  cuda::CudaDevice device(test_gpu());
  CHECK_ERROR(device.load(test_context(), TestSource(model), Precision::kBFloat16), ErrorCode::kModelFormat, "use precision 'float32'");
  CHECK_ERROR(device.load(test_context(), TestSource(model), Precision::kInt8), ErrorCode::kInvalidArg, "works only on the CPU");
  TestModel odd_units = random_last_block(random, {64, 1, Activation::kGelu}, 16);
  odd_units.fast.last_hidden = 255;
  CHECK_ERROR(device.load(test_context(), TestSource(odd_units), Precision::kBFloat16), ErrorCode::kModelFormat,
              "has 255 units, but bfloat16 on a GPU needs an even number");
  TestModel large_heads = random_last_block(random, {132, 1, Activation::kGelu}, 16);
  CHECK_ERROR(device.load(test_context(), TestSource(large_heads), Precision::kFloat32), ErrorCode::kModelFormat,
              "have 132 channels, but a GPU computes at most 128: load the model with device 'cpu'");
}

}  // namespace clip_es::cuda_device_test
