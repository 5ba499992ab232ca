// run_last_block, in float32: the steps of cam/last_block_forward.cpp.
#include "device/cuda/device.h"

namespace clip_es::cuda {

void CudaDevice::attend_last_block(HostSpan<const DeviceLastBlock> images, HostSpan<const DeviceSpan<float>> mean_attention) const {
  const int64_t width = model_->image.width, heads = model_->image.heads;
  for_photos<AttentionPhoto>(
      images.size(),
      [&](size_t i) {
        const DeviceLastBlock& image = images[i];
        const float* const qkv = address(image.qkv);
        return AttentionPhoto{qkv, qkv + width, qkv + 2 * width, image.tokens, address(image.attended), address(image.log_sum_exp)};
      },
      [&](const auto& photos) {
        gpu_->attention({photos, width, heads, scale(), {}});
      });
  for_photos<AddAttentionMeanPhoto>(
      images.size(),
      [&](size_t i) {
        return AddAttentionMeanPhoto{address(images[i].qkv), address(images[i].log_sum_exp), images[i].tokens, address(mean_attention[i])};
      },
      [&](const auto& photos) {
        gpu_->add_attention_mean({photos, width, heads, scale(), mean_factor(), false});
      });
}

// x1 = x + projected without the class tokens, h_hat, its normalised rows, and h, ln_2's output. x, projected (tokens of all images,
// width).
void CudaDevice::add_patches(HostSpan<const DeviceLastBlock> images, const float* x, const float* projected, float* x1, float* h_hat,
                             float* h) const {
  const int64_t width = model_->image.width;
  const Norm& norm = weights_->blocks.back().ln_2;
  for_photos<AddPatchesPhoto>(
      images.size(),
      [&](size_t i) {
        const AddPatchesPhoto photo{projected, x, images[i].patches(), x1, h_hat, h, address(images[i].rstd_2)};
        x += images[i].tokens * width;
        projected += images[i].tokens * width;
        x1 += images[i].patches() * width;
        h_hat += images[i].patches() * width;
        h += images[i].patches() * width;
        return photo;
      },
      [&](const auto& photos) {
        gpu_->add_patches({photos, width, norm.gamma, norm.beta});
      });
}

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
  float *projected = take(c.arena, count * width), *x1 = take(c.arena, patches * width), *out = take(c.arena, patches * width),
        *h_hat = take(c.arena, patches * width), *h = take(c.arena, patches * width), *hidden_out = take(c.arena, patches * hidden);

  // x is not changed. The residual stream continues in x1 with the patches only: no score depends on the class token's output.
  const float* x = address(tokens);
  gpu_->layer_norm({const_cast<float*>(x), nullptr, false, count, width, w.ln_1.gamma, w.ln_1.beta, y, false, nullptr});
  linear(w.in_proj, y, count, address(all.qkv));
  attend_last_block(images, mean_attention);
  linear(w.out_proj, address(all.attended), count, projected);
  add_patches(images, x, projected, x1, h_hat, h);
  linear(w.c_fc, h, patches, u);
  gpu_->activate({u, hidden_out, false, exact_gelu(), patches * hidden});
  linear(w.c_proj, hidden_out, patches, out);
  gpu_->layer_norm({x1, out, false, patches, width, nullptr, nullptr, z_hat, false, address(all.rstd_post)});
  for_photos<ColumnMeansPhoto>(
      images.size(),
      [&](size_t i) {
        return ColumnMeansPhoto{address(images[i].z_hat), images[i].patches(), address(images[i].pooled)};
      },
      [&](const auto& photos) {
        gpu_->column_means({photos, width, weights_->ln_post.gamma, weights_->ln_post.beta});
      });

  c.checkpoint();
  const torch::Batch out_proj = torch::dense(w.out_proj.weight, kType, width, width),
                     z_hat_rows = torch::dense(z_hat, kType, patches, width);
  multiply(z_hat_rows, torch::dense(w.c_proj.weight, kType, width, hidden), address(all.omega));
  multiply(torch::dense(h_hat, kType, patches, width), out_proj, address(all.h_hat_out));
  multiply(z_hat_rows, out_proj, address(all.z_hat_out));
}

}  // namespace clip_es::cuda
