// Maps by similarity on the GPU: the kernels compared with their twins, the features with those of the CPU, and masks with the golden ones.
#include <algorithm>

#include "cam/embeddings.h"
#include "cam/patch_features.h"
#include "cam/token_similarity.h"
#include "check.h"
#include "clip/preprocess.h"
#include "cuda_support.h"
#include "device/cpu/weights.h"
#include "emulator/control.h"
#include "golden.h"
#include "ops/attention.h"
#include "segment_job.h"
#include "similarity_presets.h"
#include "support.h"

namespace clip_es::cuda_similarity_test {

using check::largest_difference;

namespace {

std::unique_ptr<Segmenter> gpu_segmenter(const std::string& model, Precision precision = Precision::kFloat32) {
  return std::make_unique<Segmenter>(model, SegmenterSettings{.precision = precision, .threads = 2, .max_side = 0}, nullptr,
                                     std::make_unique<cuda::CudaDevice>(test_gpu()));
}

int64_t operations() { return gpu_is_emulated() ? emulator::operations().total() : 0; }

// The features of a photo on the CPU in float32, and on the GPU.
struct FeaturesOfBoth {
  const Case c = small_case("astronaut_97x128");
  HostContext& host = test_context();
  const ModelFile& file = model_at(c.model_path);
  const Model& model = *file.model();
  // Of more patches than neighbours count for outliers (30): with fewer, two patches can be equally far from all others.
  const npy::Photo photo = npy::read_ppm(c.folder + "/photo.ppm");
  const Grid grid = patch_grid({photo.width, photo.height}, model.shape.patch, 0);
  std::vector<float> rows = std::vector<float>(grid.patches() * model.patch_values());

  FeaturesOfBoth() { preprocess(host, model, {photo.rgb.data(), photo.width, photo.height, 3}, 0, rows); }

  struct Differences {
    double features, mean;
    int64_t operations;  // of the emulated GPU, for the features without the mean attention
  };
  Differences differences(const SimilaritySettings& settings, Precision precision) {
    const Windows windows = make_windows(settings, grid, model.shape.patch);
    const auto size = static_cast<size_t>(windows.patches() * model.shape.embedding);
    std::vector<float> want(size), want_mean(grid.patches() * grid.patches()), got(size), mean(want_mean.size()), alone(size);
    const auto weights = cpu::make_weights(host, file, Precision::kFloat32);
    patch_features(host, model, {weights->tower, weights->last_block}, settings, windows, rows, want, want_mean);
    cuda::CudaDevice device(test_gpu());
    device.load(host, file, precision);
    device.begin();
    const GpuArray<float> g_rows(std::ssize(rows));
    DeviceContext context{host.pool, device.arena(), nullptr};
    const Image image{photo.rgb.data(), photo.width, photo.height, 3};
    device.preprocess(context, {&image, 1}, 0, g_rows.span());
    const DeviceSpan<const float> patch_rows = g_rows.span();
    device.patch_features(context, settings, windows, patch_rows, got, mean);
    const int64_t before = operations();
    device.patch_features(context, settings, windows, patch_rows, alone, {});
    const int64_t after = operations();
    device.finish();
    CHECK(alone == got);  // the mean attention changes nothing else
    return {largest_difference(got, want), largest_difference(mean, want_mean), after - before};
  }
};

}  // namespace

TEST(
    "CUDA: attention with a neighbourhood prior equals its twin, with tokens before the grid and without, for heads of 32 and 96 "
    "channels") {
  Random random;
  double worst = 0;
  for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {5, 7}, {13, 12}, {1, 90}})
    for (const int64_t heads : {1, 3})
      for (const int64_t others : {0, 1}) {
        const int64_t n = height * width + others, channels = 96;
        const std::vector<float> qkv = random.normal(3 * n * channels), rows = random.uniform(height), columns = random.uniform(width);
        std::vector<float> want(n * channels);
        const ops::NeighbourPrior prior{rows, columns};
        const ops::AttentionInput twin{qkv.data(), channels, heads};
        ops::attention_with_prior(test_context(), twin, n, &prior, want.data());
        const GpuArray<float> g_qkv(qkv), g_rows(rows), g_columns(columns), out(n * channels);
        cuda::Attention in{.photos = {},
                           .width = channels,
                           .heads = heads,
                           .scale = twin.scale(),
                           .prior = {g_rows.data(), g_columns.data(), height, width}};
        in.photos.add({g_qkv.data(), g_qkv.data() + channels, g_qkv.data() + 2 * channels, n, out.data(), nullptr});
        in_every_order([&] { test_gpu()->attention(in); }, [&] { return out.host(); });
        worst = std::max(worst, largest_difference(out.host(), want));
      }
  check::note("largest difference " + number(worst));
  CHECK_BELOW(worst, 5e-6);
}

TEST("CUDA: cut_windows copies the patches of windows from those of the photo, in float32 and bfloat16") {
  Random random(4);
  const int64_t rows = 5, columns = 7, values = 147, height = 3, width = 4;
  const std::vector<float> photo = from_bfloat16(to_bfloat16(random.normal(rows * columns * values)));
  std::vector<float> want;
  cuda::CutWindows in{
      .places = {}, .patches = nullptr, .photo_columns = columns, .rows = height, .columns = width, .values = values, .windows = nullptr};
  for (const auto& place : std::vector<cuda::WindowPlace>{{0, 0}, {2, 3}, {1, 2}}) {
    in.places.add(place);
    for (int64_t y = 0; y < height; ++y)
      for (int64_t i = 0; i < width * values; ++i) want.push_back(photo[((place.row + y) * columns + place.column) * values + i]);
  }
  const GpuArray<float> g_photo(photo), windows(std::ssize(want));
  const GpuArray<uint16_t> half_photo(to_bfloat16(photo)), half_windows(std::ssize(want));
  in.patches = g_photo.data();
  in.windows = windows.data();
  in_every_order([&] { test_gpu()->cut_windows(in); }, [&] { return windows.host(); });
  CHECK(windows.host() == want);
  in.patches = half_photo.data();
  in.windows = half_windows.data();
  in.bfloat16 = true;
  test_gpu()->cut_windows(in);
  CHECK(from_bfloat16(half_windows.host()) == want);
}

TEST("CUDA: sums of scaled arrays and rows of length one equal their twins") {
  Random random(2);
  for (const int64_t rows : {1, 7, 33}) {
    const int64_t width = 40;
    std::vector<float> x = random.normal(rows * width), added = random.normal(rows * width), want(x.size());
    for (const bool repeats : {false, true}) {
      const auto count = repeats ? width : rows * width;
      const GpuArray<float> out(x), g_added(std::span<const float>(added).first(count));
      test_gpu()->add_scaled({out.data(), g_added.data(), rows * width, count, 0.25f, -3});
      for (int64_t i = 0; i < rows * width; ++i) want[i] = 0.25f * x[i] - 3 * added[i % count];
      CHECK_BELOW(largest_difference(out.host(), want), 1e-6);
    }
    std::fill_n(x.begin(), width, 0.0f);
    const GpuArray<float> g_x(x), unit(rows * width);
    in_every_order([&] { test_gpu()->unit_rows({g_x.data(), rows, width, unit.data()}); }, [&] { return unit.host(); });
    const std::vector<float> got = unit.host();
    for (int64_t row = 0; row < rows; ++row) {
      double squares = 0;
      for (int64_t c = 0; c < width; ++c) squares += static_cast<double>(x[row * width + c]) * x[row * width + c];
      for (int64_t c = 0; c < width; ++c)
        want[row * width + c] = row == 0 ? 0 : static_cast<float>(x[row * width + c] / std::sqrt(squares));
    }
    CHECK_BELOW(largest_difference(got, want), 1e-6);
  }
}

TEST("CUDA: weights of averages and attention from similarities equal their twins") {
  Random random(3);
  for (const int64_t n : {1, 9, 50}) {
    const std::vector<float> patches = random.normal(n * 6);
    std::vector<float> similarity(n * n);
    patch_similarity(test_context(), patches, n, similarity);
    std::vector<float> weights = similarity, attention = similarity;
    to_averaging_weights(test_context(), n, weights);
    to_attention(test_context(), n, attention);
    const GpuArray<float> g_weights(similarity), g_attention(similarity);
    const GpuArray<double> sums(n);
    test_gpu()->averaging_weights({g_weights.data(), n, kLeastSimilarity});
    test_gpu()->similarity_attention({g_attention.data(), n, kSharpness, sums.data()});
    CHECK_BELOW(largest_difference(g_weights.host(), weights), 1e-6);
    CHECK_BELOW(largest_difference(g_attention.host(), attention), 1e-6);
  }
}

TEST("CUDA: patch features by each published method, and in windows, equal those of the CPU, and so does the mean attention") {
  FeaturesOfBoth both;
  const int64_t patch = both.model.shape.patch;
  std::vector<SimilarityPreset> all = similarity_presets();
  // Outliers are not repaired, because windows have too few patches for it.
  for (const SimilarityPreset& preset : similarity_presets())
    if (preset.name != "clip") {
      all.push_back({preset.name + " in windows", preset.settings});
      all.back().settings.window = 2 * patch;
      all.back().settings.stride = 2 * patch;
      all.back().settings.repair = 0;
    }
  for (const auto& [name, settings] : all) {
    const FeaturesOfBoth::Differences result = both.differences(settings, Precision::kFloat32);
    check::note(name + ": largest difference " + number(result.features) + ", of the mean attention " + number(result.mean));
    CHECK_BELOW(result.features, 5e-5);
    CHECK_BELOW(result.mean, 1e-5);
  }
}

TEST("CUDA: windows share the operations of the tower, also if there are more of them than it encodes at once") {
  FeaturesOfBoth both;
  SimilaritySettings settings;
  const FeaturesOfBoth::Differences photo = both.differences(settings, Precision::kFloat32);
  settings.window = 2 * both.model.shape.patch;
  settings.stride = both.model.shape.patch;
  const int64_t windows = make_windows(settings, both.grid, both.model.shape.patch).count();
  CHECK(windows > cuda::kMaxPhotos);
  const FeaturesOfBoth::Differences result = both.differences(settings, Precision::kFloat32);
  CHECK_BELOW(result.features, 5e-5);
  if (!gpu_is_emulated()) return;  // only the emulator counts operations
  const auto each = static_cast<double>(result.operations) / static_cast<double>(windows);
  check::note("a whole photo: " + std::to_string(photo.operations) + " operations; " + std::to_string(windows) +
              " windows: " + number(each) + " each");
  CHECK_BELOW(each, static_cast<double>(photo.operations) / 4);
}

TEST("CUDA: patch features with bfloat16 weights of earlier blocks are near those of float32") {
  FeaturesOfBoth both;
  for (const auto& [name, settings] : similarity_presets()) {
    const FeaturesOfBoth::Differences result = both.differences(settings, Precision::kBFloat16);
    check::note(name + ": largest difference " + number(result.features) + ", of the mean attention " + number(result.mean));
    CHECK(result.features > 0);
    CHECK_BELOW(result.features, 2e-2);
    CHECK_BELOW(result.mean, 5e-3);
  }
}

TEST("CUDA: the segmenter's masks and confidences by similarity are the golden ones, in bfloat16 nearly so") {
  double worst = 0, worst_share = 0, worst_rounded = 0;
  const Case c = small_case("astronaut_97x128");
  CHECK(c.has("similarity/naclip_confidence"));
  const auto exact = gpu_segmenter(c.model_path), rounded = gpu_segmenter(c.model_path, Precision::kBFloat16);
  for (const bool refine : {false, true}) {
    const std::string stage = std::string("similarity/naclip") + (refine ? "_refined" : "");
    SegmentSettings settings;
    settings.similarity.emplace();
    settings.refine = refine;
    SegmentJob one(c), two(c);
    for (const auto& [segmenter, job] : {std::pair{exact.get(), &one}, std::pair{rounded.get(), &two}}) {
      Request request = job->request(settings);
      segmenter->segment({&request, 1});
      request.rethrow_failure();
    }
    worst = std::max(worst, largest_difference(one.confidence, c.golden(stage + "_confidence")));
    worst_share = std::max(worst_share, differing_percent(one.mask, c.golden(stage + "_mask")));
    worst_rounded = std::max(worst_rounded, largest_difference(two.confidence, c.golden(stage + "_confidence")));
  }
  check::note("largest difference " + number(worst) + ", " + number(worst_share) + " % of a mask's pixels differ; in bfloat16 " +
              number(worst_rounded));
  CHECK_BELOW(worst, 1e-4);
  CHECK(worst_share <= 0.1);
  CHECK_BELOW(worst_rounded, 0.1);
}

}  // namespace clip_es::cuda_similarity_test
