// The kernels of attention compared with their twins, for images of different sizes in one launch and in every order of blocks and threads.
#include "check.h"
#include "cuda_attention_cases.h"

namespace clip_es::cuda_attention_test {

using check::largest_difference;
using reference::Matrix;

TEST("CUDA: attention and the mean attention in float32 equal their twins for 2 to 131 tokens and heads of 16 to 128 channels") {
  Random random;
  double worst = 0, worst_mean = 0;
  for (const Shape& shape : kShapes) {
    cuda::Attention in{.photos = {}, .width = shape.width(), .heads = shape.heads, .scale = shape.scale(), .prior = {}};
    cuda::AddAttentionMean mean_in{.photos = {},
                                   .width = shape.width(),
                                   .heads = shape.heads,
                                   .scale = shape.scale(),
                                   .factor = 0.5f / static_cast<float>(shape.heads),
                                   .is_first = true};
    std::vector<AttentionCase> images;
    std::vector<GpuArray<float>> outs, logs, means;
    for (const int64_t n : {2, 131, 17, 65}) {
      const AttentionCase& image = images.emplace_back(random, n, shape);
      const GpuArray<float>&out = outs.emplace_back(n * shape.width()), &log = logs.emplace_back(shape.heads * n),
            &mean = means.emplace_back(image.patches() * image.patches());
      const float* const qkv = image.g_qkv.data();
      in.photos.add({qkv, qkv + shape.width(), qkv + 2 * shape.width(), n, out.data(), log.data()});
      mean_in.photos.add({image.g_qkv.data(), log.data(), n, mean.data()});
    }
    in_every_order(
        [&] {
          test_gpu()->attention(in);
          for (const bool is_first : {true, false}) {
            mean_in.is_first = is_first;
            test_gpu()->add_attention_mean(mean_in);
          }
        },
        [&] { return means[1].host(); });
    for (size_t i = 0; i < images.size(); ++i) {
      const Matrix mean = reference::mean_over_heads(images[i].attention);
      std::vector<double> want;
      for (int64_t row = 1; row < mean.rows; ++row)
        for (int64_t column = 1; column < mean.columns; ++column) want.push_back(mean(row, column));
      worst = std::max({worst, relative(outs[i].host(), images[i].attention.out.values),
                        relative(logs[i].host(), images[i].attention.log_sum_exp.values)});
      worst_mean = std::max(worst_mean, largest_difference(means[i].host(), want));
    }
  }
  check::note("largest difference " + std::to_string(worst) + ", of the mean " + std::to_string(worst_mean));
  CHECK_BELOW(worst, 1e-5);
  CHECK_BELOW(worst_mean, 1e-5);
}

TEST("CUDA: attention refuses heads of more than 128 channels") {
  const cuda::Attention in{.photos = {}, .width = 129, .heads = 1, .scale = 1, .prior = {}};
  CHECK_ERROR(test_gpu()->attention(in), ErrorCode::kDeviceUnavailable, "attention");
}

namespace {

// An image's queries, keys and values, and what the kernels of the mean attention shall make of them.
struct MeanAttentionCase {
  std::vector<uint16_t> qkv;
  reference::Attention attention;
  std::vector<float> before;  // the sum to which the kernels add
  std::vector<double> want;   // half of the mean is added

  MeanAttentionCase(Random& random, int64_t n, int64_t heads) : qkv(to_bfloat16(random.normal(n * 3 * 64 * heads))) {
    attention = reference::attention(Matrix(n, 3 * 64 * heads, from_bfloat16(qkv)), heads, false);
    before = random.uniform((n - 1) * (n - 1));
    const Matrix mean = reference::mean_over_heads(attention);
    for (int64_t i = 1; i < n; ++i)
      for (int64_t j = 1; j < n; ++j) want.push_back(before[want.size()] + 0.5 * mean(i, j));
  }
};

}  // namespace

TEST("CUDA: the mean attention of images of 2 to 260 tokens equals its twin, from bfloat16 queries and keys") {
  Random random;
  const int64_t heads = 3, width = 64 * heads;
  std::vector<MeanAttentionCase> cases;
  std::vector<GpuArray<uint16_t>> inputs;
  std::vector<GpuArray<float>> logs, sums;
  cuda::AddBFloat16AttentionMean in{
      .photos = {}, .width = width, .heads = heads, .scale = 0.125f, .factor = 0.5f / static_cast<float>(heads), .is_first = false};
  for (const int64_t n : {2, 260, 17, 129, 130}) {  // tiles have 128 rows
    const MeanAttentionCase& c = cases.emplace_back(random, n, heads);
    std::vector<float> log_sum_exp;  // (n, heads): not the kernel's usual order, to test the strides
    for (int64_t i = 0; i < n; ++i)
      for (int64_t head = 0; head < heads; ++head) log_sum_exp.push_back(static_cast<float>(c.attention.log_sum_exp(head, i)));
    in.photos.add(
        {inputs.emplace_back(c.qkv).data(), {logs.emplace_back(log_sum_exp).data(), 1, heads}, n, sums.emplace_back(c.before).data()});
  }
  in_every_order(
      [&] {
        for (size_t i = 0; i < cases.size(); ++i) test_gpu()->copy_in(std::span<const float>(cases[i].before), sums[i].data());
        test_gpu()->add_bfloat16_attention_mean(in);
      },
      [&] { return sums[1].host(); });
  double worst = 0;
  for (size_t i = 0; i < cases.size(); ++i) worst = std::max(worst, largest_difference(sums[i].host(), cases[i].want));
  in.is_first = true;
  test_gpu()->add_bfloat16_attention_mean(in);
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<double> want = cases[i].want;
    for (size_t j = 0; j < want.size(); ++j) want[j] -= cases[i].before[j];
    worst = std::max(worst, largest_difference(sums[i].host(), want));
  }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-6);
}

TEST("CUDA: the results of attention are copied from any order of heads and rows, for images of 1 to 70 tokens") {
  Random random;
  const int64_t heads = 3, width = 64 * heads;
  cuda::KeepAttention in{.photos = {}, .width = width, .heads = heads};
  std::vector<GpuArray<uint16_t>> outs, kept;
  std::vector<GpuArray<float>> logs, kept_logs;
  for (const int64_t n : {1, 70, 9}) {
    const GpuArray<uint16_t>& out = outs.emplace_back(to_bfloat16(random.normal(n * width)));
    const GpuArray<float>& log = logs.emplace_back(random.normal(n * heads));  // (n, heads): not the usual order, to test the strides
    in.photos.add({out.data(), {log.data(), 1, heads}, n, kept.emplace_back(n * width).data(), kept_logs.emplace_back(heads * n).data()});
  }
  test_gpu()->keep_attention(in);
  for (size_t i = 0; i < outs.size(); ++i) {
    const std::vector<float> log = logs[i].host(), kept_log = kept_logs[i].host();
    const int64_t n = std::ssize(log) / heads;
    CHECK(kept[i].host() == outs[i].host());
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t row = 0; row < n; ++row) CHECK(kept_log[head * n + row] == log[row * heads + head]);
  }
  in.width = 63 * heads;
  CHECK_ERROR(test_gpu()->keep_attention(in), ErrorCode::kDeviceUnavailable, "keep_attention");
}

}  // namespace clip_es::cuda_attention_test
