// run_last_block, in float32: the steps of cam/last_block_forward.cpp.
#include "device/cuda/device.h"

namespace clip_es::cuda {

void CudaDevice::run_last_block(DeviceContext& c, DeviceSpan<const float> tokens, HostSpan<const DeviceLastBlock> images,
                                HostSpan<const DeviceSpan<float>> mean_attention) {
  c.checkpoint();
  const Block& w = weights_->blocks.back();
  const int64_t width = model_->image.width, hidden = model_->last_hidden;
  constexpr auto kType = torch::Dtype::kFloat32;
  int64_t count = 0, patches = 0;
  for (const DeviceLastBlock& image : images) {
    count += image.tokens;
    patches += image.patches();
  }
  const DeviceLastBlock& all = images.front();  // each of its spans is the start of the matrix of all images
  float *const y = address(all.y), *const u = address(all.u), *const z_hat = address(all.z_hat);
  DeviceArena::Scope scope(c.arena);
  float *x1 = take(c.arena, patches * width), *out = take(c.arena, patches * width), *h_hat = take(c.arena, patches * width),
        *h = take(c.arena, patches * width), *hidden_out = take(c.arena, patches * hidden);

  // x is not changed. The residual stream continues in x1 with the patches only: no score depends on the class token's output.
  const float* x = address(tokens);
  gpu_->layer_norm({const_cast<float*>(x), nullptr, false, count, width, w.ln_1.gamma, w.ln_1.beta, y, false, nullptr});
  linear(w.in_proj, y, count, address(all.qkv));
  int64_t before = 0;  // patches of the previous images
  for (size_t i = 0; i < images.size(); ++i) {
    const DeviceLastBlock& image = images[i];
    attend(c.arena, address(image.qkv), image.tokens, address(image.attended), address(image.log_sum_exp), address(mean_attention[i]));
    float* own = x1 + before * width;
    linear(w.out_proj, address(image.attended) + width, image.patches(), own);
    gpu_->layer_norm(
        {own, x + width, false, image.patches(), width, nullptr, nullptr, h_hat + before * width, false, address(image.rstd_2)});
    before += image.patches();
    x += image.tokens * width;
  }
  gpu_->layer_norm({x1, nullptr, false, patches, width, w.ln_2.gamma, w.ln_2.beta, h, false, nullptr});
  linear(w.c_fc, h, patches, u);
  gpu_->activate({u, hidden_out, false, exact_gelu(), patches * hidden});
  linear(w.c_proj, hidden_out, patches, out);
  gpu_->layer_norm({x1, out, false, patches, width, nullptr, nullptr, z_hat, false, address(all.rstd_post)});
  for (size_t first = 0, end; first < images.size(); first = end) {  // runs of images of the same size
    const DeviceLastBlock& image = images[first];
    for (end = first + 1; end < images.size() && images[end].tokens == image.tokens;) ++end;
    gpu_->column_means({address(image.z_hat), static_cast<int64_t>(end - first), image.patches(), width, weights_->ln_post.gamma,
                        weights_->ln_post.beta, address(image.pooled)});
  }

  c.checkpoint();
  const torch::Batch out_proj = torch::dense(w.out_proj.weight, kType, width, width),
                     z_hat_rows = torch::dense(z_hat, kType, patches, width);
  multiply(z_hat_rows, torch::dense(w.c_proj.weight, kType, width, hidden), address(all.omega));
  multiply(torch::dense(h_hat, kType, patches, width), out_proj, address(all.h_hat_out));
  multiply(z_hat_rows, out_proj, address(all.z_hat_out));
}

}  // namespace clip_es::cuda
