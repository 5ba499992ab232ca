// run_last_block: the steps of cam/last_block_forward.cpp. In bfloat16 all matrices of LastBlock are bfloat16 except z_hat, from which the
// score is computed.
#include <vector>

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

// LibTorch's attention for each group of neighbours with equal numbers of tokens. Its results are copied, because GradCAM needs them later.
void CudaDevice::attend_last_block_in_bfloat16(HostSpan<const DeviceLastBlock> images,
                                               HostSpan<const DeviceSpan<float>> mean_attention) const {
  const int64_t width = model_->image.width, heads = model_->image.heads;
  std::vector<torch::Backend::Attended> attended;  // keeps LibTorch's results until they are copied
  KeepAttention keep{.photos = {}, .width = width, .heads = heads};
  AddBFloat16AttentionMean means{
      .photos = {}, .width = width, .heads = heads, .scale = scale(), .factor = mean_factor(), .is_first = false};
  const auto launch = [&] {
    gpu_->keep_attention(keep);
    gpu_->add_bfloat16_attention_mean(means);
    keep.photos.count = means.photos.count = 0;
  };
  for (size_t first = 0, end; first < images.size(); first = end) {
    const int64_t n = images[first].tokens;
    for (end = first + 1; end < images.size() && images[end].tokens == n;) ++end;
    const torch::Backend::Attended& a =
        attended.emplace_back(gpu_->torch().attention(address(images[first].qkv), static_cast<int64_t>(end - first), n, width, heads));
    for (size_t i = first; i < end; ++i) {
      if (keep.photos.count == kMaxPhotos) launch();
      const auto index = static_cast<int64_t>(i - first);
      float* const log_sum_exp = address(images[i].log_sum_exp);
      keep.photos.add({advance(a.out, index * n * width, torch::Dtype::kBFloat16),
                       {a.log_sum_exp + index * a.image_stride, a.head_stride, a.row_stride},
                       n,
                       address(images[i].attended),
                       log_sum_exp});
      means.photos.add({address(images[i].qkv), {log_sum_exp, n, 1}, n, address(mean_attention[i])});
    }
  }
  launch();
}

// x1 = x + projected without the class tokens, h_hat, its normalised rows, and h, ln_2's output. x, projected (tokens of all images,
// width).
void CudaDevice::add_patches(HostSpan<const DeviceLastBlock> images, const float* x, const void* projected, float* x1, void* h_hat,
                             void* h) const {
  const int64_t width = model_->image.width;
  const Norm& norm = weights_->blocks.back().ln_2;
  for_photos<AddPatchesPhoto>(
      images.size(),
      [&](size_t i) {
        const AddPatchesPhoto photo{projected, x, images[i].patches(), x1, h_hat, h, address(images[i].rstd_2)};
        const int64_t tokens = images[i].tokens * width, patches = images[i].patches() * width;
        x += tokens;
        projected = advance(projected, tokens, dtype());
        x1 += patches;
        h_hat = advance(h_hat, patches, dtype());
        h = advance(h, patches, dtype());
        return photo;
      },
      [&](const auto& photos) {
        gpu_->add_patches({photos, width, norm.gamma, norm.beta, is_bfloat16()});
      });
}

void CudaDevice::run_last_block(DeviceContext& c, DeviceSpan<const float> tokens, HostSpan<const DeviceLastBlock> images,
                                HostSpan<const DeviceSpan<float>> mean_attention) {
  c.checkpoint();
  const Block& w = weights_->blocks.back();
  const int64_t width = model_->image.width, hidden = model_->last_hidden;
  const bool bfloat16 = is_bfloat16();
  int64_t count = 0, patches = 0;
  for (const DeviceLastBlock& image : images) {
    count += image.tokens;
    patches += image.patches();
  }
  const DeviceLastBlock& all = images.front();  // each of its spans is the start of the matrix of all images
  float* const z_hat = address(all.z_hat);
  void *const y = address(all.y), *const u = address(all.u);
  DeviceArena::Scope scope(c.arena);
  const auto take_matrix = [&](int64_t rows, int64_t columns) { return take(c.arena, rows * columns, dtype()); };
  float* const x1 = take(c.arena, patches * width);
  void *projected = take_matrix(count, width), *out = take_matrix(patches, width), *h_hat = take_matrix(patches, width),
       *h = take_matrix(patches, width), *hidden_out = take_matrix(patches, hidden);
  void* const z_rounded = bfloat16 ? take_matrix(patches, width) : nullptr;

  // x is not changed. The residual stream continues in x1 with the patches only: no score depends on the class token's output.
  const float* x = address(tokens);
  gpu_->layer_norm({const_cast<float*>(x), nullptr, false, count, width, w.ln_1.gamma, w.ln_1.beta, y, bfloat16, nullptr});
  linear(w.in_proj, y, count, address(all.qkv));
  if (bfloat16) attend_last_block_in_bfloat16(images, mean_attention);
  else attend_last_block(images, mean_attention);
  linear(w.out_proj, address(all.attended), count, projected);
  add_patches(images, x, projected, x1, h_hat, h);
  linear(w.c_fc, h, patches, u);
  gpu_->activate({u, hidden_out, bfloat16, exact_gelu(), patches * hidden});
  linear(w.c_proj, hidden_out, patches, out);
  gpu_->layer_norm({x1, out, bfloat16, patches, width, nullptr, nullptr, z_hat, false, address(all.rstd_post), z_rounded});
  for_photos<ColumnMeansPhoto>(
      images.size(),
      [&](size_t i) {
        return ColumnMeansPhoto{address(images[i].z_hat), images[i].patches(), address(images[i].pooled)};
      },
      [&](const auto& photos) {
        gpu_->column_means({photos, width, weights_->ln_post.gamma, weights_->ln_post.beta});
      });

  c.checkpoint();
  const torch::Batch out_proj = matrix(w.out_proj.weight, width, width), z_hat_rows = matrix(bfloat16 ? z_rounded : z_hat, patches, width);
  multiply(z_hat_rows, matrix(w.c_proj.weight, width, hidden), address(all.omega), dtype());
  multiply(matrix(h_hat, patches, width), out_proj, address(all.h_hat_out), dtype());
  multiply(z_hat_rows, out_proj, address(all.z_hat_out), dtype());
}

}  // namespace clip_es::cuda
