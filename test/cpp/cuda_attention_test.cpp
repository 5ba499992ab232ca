// The float32 kernels of attention compared with their twins, for images of different sizes in one launch and in every order of blocks and
// threads.
#include "check.h"
#include "cuda_attention_cases.h"

using namespace clip_es;
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
