// softmax_gradcam: the steps and letters of cam/softmax_gradcam.cpp. The sums over patches in attention's backward pass are products.
#include "cam/softmax_gradcam.h"

#include <algorithm>

#include "device/cuda/device.h"

namespace clip_es::cuda {
namespace {

constexpr auto kType = torch::Dtype::kFloat32;
// Rows of texts share products if their e (N, F) fit into this memory together. More rows are computed in groups.
constexpr size_t kGradientBytes = size_t{256} << 20;

float* take(DeviceArena& arena, int64_t rows, int64_t columns) { return cuda::take<float>(arena, rows * columns); }

}  // namespace

CudaDevice::SentTexts CudaDevice::send_texts(DeviceArena& arena, const LabelTexts& texts) const {
  const int64_t size = model_->shape.embedding, rows = std::ssize(texts.rows) / size;
  Arena::Scope host_scope(scratch_);
  const std::span<const double> competing = competing_texts(scratch_, texts, size);
  const std::span<int64_t> label_of_row = scratch_.take<int64_t>(rows);
  for (int64_t k = 0; k < texts.labels(); ++k)
    for (int64_t row = texts.first_row[k]; row < texts.first_row[k + 1]; ++row) label_of_row[row] = k;
  const auto [sent_competing, sent_rows, sent_labels, first_row] =
      send_all(arena, competing, std::span(texts.rows), std::span<const int64_t>(label_of_row), std::span(texts.first_row));
  return {sent_competing, sent_rows, sent_labels, first_row, std::ssize(competing) / size, rows};
}

void CudaDevice::score_gradients(DeviceArena& arena, const DeviceLastBlock& last, const SentTexts& texts, float* logits,
                                 float* probabilities, float* a, float* scaled_dz) const {
  const int64_t size = model_->shape.embedding, width = model_->image.width, rows = texts.row_count, count = texts.count;
  DeviceArena::Scope scope(arena);
  const auto doubles = [&](int64_t r, int64_t c) { return cuda::take<double>(arena, r * c); };
  gpu_->score_gradients({.pooled = address(last.pooled),
                         .projection = weights_->projection,
                         .ln_post_gamma = weights_->ln_post.gamma,
                         .competing = texts.competing,
                         .rows = texts.rows,
                         .label_of_row = texts.label_of_row,
                         .width = width,
                         .embedding = size,
                         .texts = count,
                         .row_count = rows,
                         .logit_scale = model_->logit_scale,
                         .f = doubles(1, size),
                         .logits = doubles(1, count),
                         .p = doubles(rows + 1, count),
                         .directions = doubles(rows, size),
                         .dz = doubles(rows, width),
                         .logits_out = logits,
                         .probabilities_out = probabilities,
                         .a = a,
                         .scaled_dz = scaled_dz});
}

// Steps 2 to 4: the gradient of attention's output.
void CudaDevice::mlp_gradient(DeviceArena& arena, const DeviceLastBlock& last, int64_t rows, const float* a, const float* scaled_dz,
                              float* out_gradient) const {
  const Block& w = weights_->blocks.back();
  const int64_t width = model_->image.width, hidden = w.c_fc.outputs, patches = last.patches();
  DeviceArena::Scope scope(arena);
  float *b = take(arena, rows, patches), *alpha = take(arena, rows, hidden), *a_out = take(arena, rows, width),
        *e = take(arena, rows * patches, hidden), *sums = take(arena, rows * patches, 2);
  const torch::Batch a_rows = torch::dense(a, kType, rows, width);
  multiply(torch::dense(scaled_dz, kType, rows, width), torch::transposed(torch::dense(address(last.z_hat), kType, patches, width)), b);
  multiply(a_rows, torch::dense(w.c_proj.weight, kType, width, hidden), alpha);
  multiply(a_rows, torch::dense(w.out_proj.weight, kType, width, width), a_out);
  gpu_->mlp_gradient_e({address(last.u), address(last.omega), alpha, b, address(last.rstd_post), weights_->fc_gamma, weights_->fc_offset,
                        patches, width, hidden, rows, exact_gelu(), e, sums});
  linear(weights_->composite, e, rows * patches, out_gradient);
  gpu_->mlp_gradient_finish({sums, b, address(last.rstd_2), address(last.rstd_post), address(last.h_hat_out), address(last.z_hat_out),
                             a_out, weights_->out_proj_column_sums, patches, width, rows, out_gradient});
}

// Step 5. Patches in blocks, so that the scores of all heads stay small.
void CudaDevice::attention_gradient_sums(DeviceArena& arena, const DeviceLastBlock& last, int64_t classes, const float* out_gradient,
                                         float* qkv_gradient) const {
  const int64_t n = last.tokens, width = model_->image.width, heads = model_->image.heads, size = head_size();
  const int64_t columns = classes * (size + 1);
  const auto most = static_cast<int64_t>(kGradientBytes / sizeof(float)) / (heads * (n + columns));
  const int64_t rows_at_once = std::clamp<int64_t>(most, 1, n - 1);
  DeviceArena::Scope scope(arena);
  float *scores = take(arena, heads * rows_at_once, n), *packed = take(arena, heads * rows_at_once, columns),
        *key_weight = take(arena, heads * rows_at_once, classes), *value_weight = take(arena, heads, rows_at_once),
        *product = take(arena, heads * n, columns), *query_weight = take(arena, heads * n, classes);
  const auto part = [&](int64_t which, int64_t first, int64_t rows) {
    return torch::Batch{address(last.qkv) + first * 3 * width + which * width, kType, heads, rows, size, size, 3 * width, 1};
  };
  // The gradients of all classes' queries (part 0) or keys (1); each head is one batch.
  const auto gradient = [&](int64_t which) {
    return torch::Batch{qkv_gradient + which * width, kType, heads, classes, size, size, 3 * width, 1};
  };
  const auto batch = [&](const float* data, int64_t rows, int64_t c) { return torch::Batch{data, kType, heads, rows, c, rows * c, c, 1}; };
  // The first block of rows sets the sums, and the others add to them.
  for (int64_t first = 1; first < n; first += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, n - first);
    const bool add = first > 1;
    gpu_->torch().bmm(part(0, first, rows), torch::transposed(part(1, 0, n)), batch(scores, rows, n));
    gpu_->exponentials({scores, heads, rows, n, first, scale(), {address(last.log_sum_exp), n, 1}});
    gpu_->pack_out_gradient({scores, address(last.qkv), address(last.attended), out_gradient, heads, rows, n, width, classes, first,
                             scale(), packed, key_weight, value_weight});
    gpu_->torch().bmm(torch::transposed(batch(scores, rows, n)), batch(packed, rows, columns), batch(product, n, columns), add);
    gpu_->torch().bmm(torch::transposed(batch(key_weight, rows, classes)), part(0, first, rows), gradient(1), add);
    for (int64_t k = 0; k < classes; ++k)
      gpu_->torch().bmm(batch(value_weight, 1, rows), {packed + k * (size + 1), kType, heads, rows, size, rows * columns, columns, 1},
                        {qkv_gradient + (3 * k + 2) * width, kType, heads, 1, size, size, 3 * width, 1}, add);
  }
  gpu_->query_weights({product, address(last.qkv), heads, n, width, classes, scale(), query_weight});
  gpu_->torch().bmm(torch::transposed(batch(query_weight, n, classes)), part(1, 0, n), gradient(0));
}

// Steps 2 to 5 for some rows of texts -> cams (rows, N), not normalised.
void CudaDevice::backward(DeviceArena& arena, const DeviceLastBlock& last, int64_t rows, const float* a, const float* scaled_dz,
                          float* cams) const {
  const int64_t width = model_->image.width, patches = last.patches();
  DeviceArena::Scope scope(arena);
  float *out_gradient = take(arena, rows * patches, width), *qkv_gradient = take(arena, rows, 3 * width),
        *channels = take(arena, rows, width);
  mlp_gradient(arena, last, rows, a, scaled_dz, out_gradient);
  attention_gradient_sums(arena, last, rows, out_gradient, qkv_gradient);
  multiply(torch::dense(qkv_gradient, kType, rows, 3 * width),
           torch::dense(weights_->blocks.back().in_proj.weight, kType, 3 * width, width), channels);
  multiply(torch::dense(channels, kType, rows, width), torch::transposed(torch::dense(address(last.y) + width, kType, patches, width)),
           cams);
}

void CudaDevice::softmax_gradcam(DeviceContext& c, const DeviceLastBlock& last, const LabelTexts& texts, DeviceSpan<float> logits,
                                 DeviceSpan<float> probabilities, const DeviceMaps& cams) {
  const int64_t patches = last.patches(), width = model_->image.width, hidden = model_->last_hidden;
  DeviceArena::Scope scope(c.arena);
  const SentTexts sent = send_texts(c.arena, texts);
  const int64_t rows = sent.row_count;
  float *a = take(c.arena, rows, width), *scaled_dz = take(c.arena, rows, width), *row_cams = take(c.arena, rows, patches);
  score_gradients(c.arena, last, sent, address(logits), address(probabilities), a, scaled_dz);
  const int64_t group = std::max<int64_t>(static_cast<int64_t>(kGradientBytes / sizeof(float)) / (patches * hidden), 1);
  for (int64_t first = 0; first < rows; first += group) {
    c.checkpoint();
    backward(c.arena, last, std::min(group, rows - first), a + first * width, scaled_dz + first * width, row_cams + first * patches);
  }
  gpu_->normalise_cams({row_cams, sent.first_row, texts.labels(), patches, address(cams.data)});
}

}  // namespace clip_es::cuda
