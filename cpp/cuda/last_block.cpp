// run_last_block, in float32: the steps of cam/last_block.cpp.
#include "cuda/cuda_device.h"

namespace clip_es::cuda {

void CudaDevice::run_last_block(Context& c, const float* x, LastBlock& last, float* mean_attention) {
  c.checkpoint();
  const Block& w = weights_->blocks.back();
  const int64_t n = last.n, patches = n - 1, width = model_->image.width, hidden = w.c_fc.outputs;
  constexpr auto kType = torch::Dtype::kFloat32;
  Arena::Scope scope(c.arena);
  const auto take = [&](int64_t columns) { return c.arena.take<float>(static_cast<size_t>(patches * columns)).data(); };
  float *x1 = take(width), *out = take(width), *h_hat = take(width), *h = take(width), *hidden_out = take(hidden);

  // x stays as it is for whoever looks at it next: the stream goes on in x1, patches alone, as the class token's way out of the block
  // reaches no score.
  gpu_->layer_norm({const_cast<float*>(x), nullptr, false, n, width, w.ln_1.gamma, w.ln_1.beta, last.y.data(), false, nullptr});
  linear(w.in_proj, last.y.data(), n, last.qkv.data());
  attend(c.arena, last.qkv.data(), n, last.attended.data(), last.log_sum_exp.data(), mean_attention);
  linear(w.out_proj, last.attended.data() + width, patches, x1);
  gpu_->layer_norm({x1, x + width, false, patches, width, nullptr, nullptr, h_hat, false, last.rstd_2.data()});
  gpu_->layer_norm({x1, nullptr, false, patches, width, w.ln_2.gamma, w.ln_2.beta, h, false, nullptr});
  linear(w.c_fc, h, patches, last.u.data());
  gpu_->activate({last.u.data(), hidden_out, false, exact_gelu(), patches * hidden});
  linear(w.c_proj, hidden_out, patches, out);
  gpu_->layer_norm({x1, out, false, patches, width, nullptr, nullptr, last.z_hat.data(), false, last.rstd_post.data()});
  gpu_->column_means({last.z_hat.data(), patches, width, weights_->ln_post.gamma, weights_->ln_post.beta, last.pooled.data()});

  c.checkpoint();
  const torch::Batch out_proj = torch::dense(w.out_proj.weight, kType, width, width),
                     z_hat = torch::dense(last.z_hat.data(), kType, patches, width);
  multiply(z_hat, torch::dense(w.c_proj.weight, kType, width, hidden), last.omega.data());
  multiply(torch::dense(h_hat, kType, patches, width), out_proj, last.h_hat_out.data());
  multiply(z_hat, out_proj, last.z_hat_out.data());
}

}  // namespace clip_es::cuda
