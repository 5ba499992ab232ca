// The kernels of box masks, CAA and the masks compared with their twins, at odd sizes and in every order of blocks and threads.
#include <array>
#include <cmath>
#include <numeric>

#include "cam/attention_affinity.h"
#include "check.h"
#include "cuda_support.h"
#include "mask/pseudo_mask.h"
#include "support.h"

namespace clip_es::cuda_cam_test {

using check::largest_difference;
using reference::Matrix;

namespace {

double relative(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = 1e-30;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  return largest_difference(got, want) / largest;
}

std::vector<float> floats(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

template <class T>
void append(std::vector<T>& to, const std::vector<T>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

// Nine maps: one long, winding component; empty; full; random; and from many small components to a few large ones.
std::vector<std::vector<float>> box_test_maps(Random& random, int64_t height, int64_t width) {
  const auto cells = static_cast<size_t>(height * width);
  std::vector<std::vector<float>> maps{std::vector<float>(cells, 0.0f), std::vector<float>(cells, 0.0f), std::vector<float>(cells, 1.0f)};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) maps[0][y * width + x] = y % 2 == 0 || x == (y % 4 == 1 ? width - 1 : 0) ? 1.0f : 0.0f;
  maps.push_back(random.uniform(height * width));
  for (int i = 0; i < 5; ++i) {
    maps.push_back(random.uniform(height * width));
    for (float& value : maps.back()) value = value > 0.75f - 0.05f * static_cast<float>(i) ? 1.0f : 0.0f;
  }
  return maps;
}

}  // namespace

TEST("CUDA: box masks equal their twin on empty, full, random, sparse, dense and winding maps from 1 x 1 to 31 x 24, in one launch") {
  Random random;
  for (const double threshold : {0.4, 0.7, 0.99}) {
    cuda::BoxMask in;
    std::vector<GpuArray<float>> cams;
    std::vector<GpuArray<int32_t>> scratch;
    std::vector<GpuArray<uint8_t>> boxes;
    std::vector<std::vector<uint8_t>> want;
    for (const auto& [height, width] : std::vector<std::array<int64_t, 2>>{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {13, 17}, {31, 24}}) {
      const std::vector<std::vector<float>> maps = box_test_maps(random, height, width);
      const auto labels = static_cast<int64_t>(maps.size()) - std::ssize(want);  // another number for each photo
      std::vector<float> all;
      std::vector<uint8_t>& own = want.emplace_back();
      for (int64_t k = 0; k < labels; ++k) {
        append(all, maps[k]);
        append(own, reference::box_mask(maps[k], height, width, threshold));
      }
      in.photos.add({cams.emplace_back(all).data(), labels, height, width, threshold, scratch.emplace_back(6 * std::ssize(all)).data(),
                     boxes.emplace_back(std::ssize(all)).data()});
    }
    in_every_order([&] { test_gpu()->box_mask(in); }, [&] { return floats(boxes.back().host()); });
    for (size_t i = 0; i < want.size(); ++i) CHECK(boxes[i].host() == want[i]);
  }
}

namespace {

// A photo's attention and maps, its memory for the kernel, and the refined maps by the twin.
struct AffinityCase {
  int64_t n, labels, rounds;
  Matrix want;
  GpuArray<float> w, cams, r, c, product, sums, refined;
  GpuArray<uint8_t> boxes;

  AffinityCase(Random& random, int64_t patches, int64_t label_count, int64_t sinkhorn_rounds)
      : AffinityCase(patches, label_count, sinkhorn_rounds, random.uniform(patches * patches, 0.01f, 1),
                     random.uniform(label_count * patches), random.bytes(label_count * patches, 2)) {}
  AffinityCase(int64_t patches, int64_t label_count, int64_t sinkhorn_rounds, const std::vector<float>& attention,
               const std::vector<float>& maps, const std::vector<uint8_t>& box_values)
      : n(patches),
        labels(label_count),
        rounds(sinkhorn_rounds),
        want(reference::refine_cams(Matrix(n, n, attention), Matrix(labels, n, maps), Matrix(labels, n, floats(box_values)),
                                    static_cast<int>(rounds))),
        w(attention),
        cams(maps),
        r(n),
        c(n),
        product(labels * n),
        sums(cuda::affinity_chunks(n) * cuda::kAffinityLabels * n),
        refined(labels * n),
        boxes(box_values) {}

  cuda::RefineCamsPhoto photo() const {
    return {w.data(), cams.data(), boxes.data(), n, labels, rounds, r.data(), c.data(), product.data(), sums.data(), refined.data()};
  }
  // Overwrites what an earlier run computed: it could hide a missing barrier.
  void forget() const {
    for (const GpuArray<float>* array : {&r, &c, &product, &sums, &refined})
      test_gpu()->copy_in(std::span<const float>(std::vector<float>(array->host().size(), NAN)), array->data());
  }
};

}  // namespace

TEST("CUDA: Sinkhorn and the affinity product equal their twin for photos of 1 to 131 patches, 1 to 20 labels and 0 to 5 rounds") {
  Random random;
  std::vector<AffinityCase> cases;
  for (const auto& [n, labels, rounds] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 3}, {8, 3, 3}, {33, 20, 3}, {131, 3, 3}, {131, 20, 5}, {33, 1, 0}, {8, 20, 1}, {131, 1, 2}})
    cases.emplace_back(random, n, labels, rounds);
  // Alone, a photo has other numbers of blocks and of chunks per block than in a batch.
  const auto refine = [&](std::span<const AffinityCase> photos) {
    cuda::RefineCams in;
    for (const AffinityCase& c : photos) in.photos.add(c.photo());
    std::vector<float> refined;
    in_every_order(
        [&] {
          for (const AffinityCase& c : photos) c.forget();
          test_gpu()->refine_cams(in);
        },
        [&] {
          refined.clear();
          for (const AffinityCase& c : photos) append(refined, c.refined.host());
          return refined;
        });
    return refined;
  };
  std::vector<float> alone;
  for (const AffinityCase& c : cases) append(alone, refine({&c, 1}));
  CHECK(refine(cases) == alone);
  for (const AffinityCase& c : cases) CHECK_BELOW(relative(c.refined.host(), c.want.values), 1e-5);
}

TEST("CUDA: a patch that receives no attention gets the Sinkhorn factor 0") {
  const AffinityCase c(2, 1, 1, {0, 0, 0, 1}, {1, 1}, {1, 1});
  cuda::RefineCams in;
  in.photos.add(c.photo());
  test_gpu()->refine_cams(in);
  CHECK(c.c.host() == (std::vector<float>{0, 1}));
  CHECK(c.r.host() == (std::vector<float>{0, 1}));
  CHECK(c.refined.host() == (std::vector<float>{0, 1}));
}

namespace {

// A photo's maps, what the CPU makes of them, and memory for what the kernels make of them.
struct MaskCase {
  Grid grid;
  PhotoSize size;
  MaskSettings settings;
  std::vector<float> maps, normalised, want_confidence, want_maps;
  std::vector<uint8_t> value, want_mask;
  GpuArray<float> g_maps, confidence, enlarged;
  GpuArray<uint8_t> g_value, mask;

  MaskCase(Random& random, const Grid& photo_grid, const PhotoSize& photo_size, const MaskSettings& mask_settings, int64_t labels)
      : grid(photo_grid),
        size(photo_size),
        settings(mask_settings),
        maps(random.normal(labels * grid.patches())),
        normalised(maps),
        want_confidence(size.pixels()),
        want_maps(labels * size.pixels()),
        value(labels),
        want_mask(size.pixels()),
        g_maps(maps),
        confidence(size.pixels()),
        enlarged(labels * size.pixels()),
        g_value(labels),
        mask(size.pixels()) {
    std::iota(value.begin(), value.end(), uint8_t{1});
    test_gpu()->copy_in(std::span<const uint8_t>(value), g_value.data());
    make_pseudo_mask(test_context(), maps_of(normalised, grid), value, size, settings,
                     {want_mask.data(), want_confidence.data(), want_maps.data()});
  }
  int64_t labels() const { return std::ssize(value); }
};

}  // namespace

TEST("CUDA: masks of 1, 3 and 254 labels equal the CPU's at odd sizes, for several background powers and limits, in one launch") {
  Random random;
  std::vector<MaskCase> cases;
  for (const MaskSettings settings : {MaskSettings{1, 0}, MaskSettings{0.5f, 0.6f}, MaskSettings{3, 0.45f, 0.65f}})
    for (const int64_t labels : {1, 3, 254})
      cases.emplace_back(random,
                         labels == 1   ? Grid{1, 1}
                         : labels == 3 ? Grid{1, 7}
                                       : Grid{4, 5},
                         PhotoSize{61 + labels % 7, 37}, settings, labels);
  cuda::MinMax min_max;
  cuda::PseudoMask in{.photos = {}, .ignored_value = kIgnored};
  for (const MaskCase& c : cases) {
    min_max.photos.add({c.g_maps.data(), c.labels(), c.grid.patches()});
    in.photos.add({c.g_maps.data(), c.g_value.data(), c.labels(), c.grid.height, c.grid.width, c.size.width, c.size.height,
                   c.settings.background_power, c.settings.ignore_below, c.settings.background_below, c.mask.data(), c.confidence.data(),
                   c.enlarged.data()});
  }
  test_gpu()->min_max(min_max);
  test_gpu()->pseudo_mask(in);
  for (const MaskCase& c : cases) {
    CHECK_BELOW(largest_difference(c.g_maps.host(), c.normalised), 1e-6);
    CHECK_BELOW(largest_difference(c.confidence.host(), c.want_confidence), 1e-6);
    CHECK_BELOW(largest_difference(c.enlarged.host(), c.want_maps), 1e-6);
    const std::vector<uint8_t> got = c.mask.host();
    int differing = 0;
    for (size_t i = 0; i < got.size(); ++i) differing += got[i] != c.want_mask[i];
    CHECK(differing <= c.size.pixels() / 1000);  // two scores may be equal up to rounding
  }
}

}  // namespace clip_es::cuda_cam_test
