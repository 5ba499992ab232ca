// run_last_block, in float32: the steps of cam/last_block.cpp.
#include "device/cuda/device.h"

namespace clip_es::cuda {

void CudaDevice::run_last_block(HostContext& c, const float* x, std::span<LastBlock> images, std::span<float* const> mean_attention) {
  c.checkpoint();
  const Block& w = weights_->blocks.back();
  const int64_t width = model_->image.width, hidden = w.c_fc.outputs;
  constexpr auto kType = torch::Dtype::kFloat32;
  int64_t tokens = 0, patches = 0;
  for (const LastBlock& image : images) tokens += image.n, patches += image.n - 1;
  const LastBlock& all = images.front();  // whose spans begin the matrices of all images
  Arena::Scope scope(c.arena);
  const auto take = [&](int64_t columns) { return c.arena.take<float>(static_cast<size_t>(patches * columns)).data(); };
  float *x1 = take(width), *out = take(width), *h_hat = take(width), *h = take(width), *hidden_out = take(hidden);

  // x stays as it is for whoever looks at it next: the stream goes on in x1, patches alone, as the class token's way out of the block
  // reaches no score.
  gpu_->layer_norm({const_cast<float*>(x), nullptr, false, tokens, width, w.ln_1.gamma, w.ln_1.beta, all.y.data(), false, nullptr});
  linear(w.in_proj, all.y.data(), tokens, all.qkv.data());
  int64_t before = 0;  // patches of the images before
  for (size_t i = 0; i < images.size(); ++i) {
    const LastBlock& image = images[i];
    const int64_t own_patches = image.n - 1;
    attend(c.arena, image.qkv.data(), image.n, image.attended.data(), image.log_sum_exp.data(), mean_attention[i]);
    float* own = x1 + before * width;
    linear(w.out_proj, image.attended.data() + width, own_patches, own);
    gpu_->layer_norm({own, x + width, false, own_patches, width, nullptr, nullptr, h_hat + before * width, false, image.rstd_2.data()});
    before += own_patches;
    x += image.n * width;
  }
  gpu_->layer_norm({x1, nullptr, false, patches, width, w.ln_2.gamma, w.ln_2.beta, h, false, nullptr});
  linear(w.c_fc, h, patches, all.u.data());
  gpu_->activate({all.u.data(), hidden_out, false, exact_gelu(), patches * hidden});
  linear(w.c_proj, hidden_out, patches, out);
  gpu_->layer_norm({x1, out, false, patches, width, nullptr, nullptr, all.z_hat.data(), false, all.rstd_post.data()});
  for (const LastBlock& image : images)
    gpu_->column_means({image.z_hat.data(), image.n - 1, width, weights_->ln_post.gamma, weights_->ln_post.beta, image.pooled.data()});

  c.checkpoint();
  const torch::Batch out_proj = torch::dense(w.out_proj.weight, kType, width, width),
                     z_hat = torch::dense(all.z_hat.data(), kType, patches, width);
  multiply(z_hat, torch::dense(w.c_proj.weight, kType, width, hidden), all.omega.data());
  multiply(torch::dense(h_hat, kType, patches, width), out_proj, all.h_hat_out.data());
  multiply(z_hat, out_proj, all.z_hat_out.data());
}

}  // namespace clip_es::cuda
