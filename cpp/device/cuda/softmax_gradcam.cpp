// softmax_gradcam: the steps and letters of cam/softmax_gradcam.cpp, for several photos at once. The rows of texts of all photos are one
// matrix in the products with weights. Kernels compute what needs a photo's own activations.
#include "cam/softmax_gradcam.h"

#include <algorithm>

#include "device/cuda/device.h"

namespace clip_es::cuda {
namespace {

constexpr int64_t kMostRows = 65535;  // of a part: the largest height of a grid

float* take(DeviceArena& arena, int64_t rows, int64_t columns) { return cuda::take<float>(arena, rows * columns); }

int64_t rows_of(const GradCamOfPhoto& photo) { return photo.texts.first_row.back(); }

// The sums over all parts.
struct PartSizes {
  int64_t rows = 0, patches = 0;  // of texts; rows times patches

  explicit PartSizes(const GradCamParts& parts) {
    if (parts.count == 0) return;
    const GradCamPart& last = parts.photo[parts.count - 1];
    rows = last.first_row + last.rows;
    patches = last.first_patch + last.rows * last.patches;
  }
};

// Adds a part with as many rows of the photo as fit, or at least one if it is the first part. Returns the number of rows.
// most_patches: the largest sum of rows * patches of all parts.
int64_t add_rows(GradCamParts& parts, const DeviceLastBlock& last, int64_t rows, int64_t most_patches) {
  if (parts.count == kMaxPhotos) return 0;
  const PartSizes before(parts);
  const int64_t least = parts.count == 0 ? 1 : 0;
  const int64_t fitting = std::min({rows, kMostRows, std::max((most_patches - before.patches) / last.patches(), least)});
  if (fitting == 0) return 0;
  parts.add({.y = address(last.y),
             .qkv = address(last.qkv),
             .attended = address(last.attended),
             .log_sum_exp = address(last.log_sum_exp),
             .u = address(last.u),
             .rstd_2 = address(last.rstd_2),
             .rstd_post = address(last.rstd_post),
             .omega = address(last.omega),
             .z_hat = address(last.z_hat),
             .h_hat_out = address(last.h_hat_out),
             .z_hat_out = address(last.z_hat_out),
             .patches = last.patches(),
             .rows = fitting,
             .first_row = before.rows,
             .first_patch = before.patches});
  return fitting;
}

}  // namespace

CudaDevice::SentTexts CudaDevice::send_texts(DeviceArena& arena, HostSpan<const GradCamOfPhoto> photos) const {
  const int64_t size = model_->shape.embedding;
  int64_t text_count = 0, row_count = 0, bounds = 0;
  for (const GradCamOfPhoto& photo : photos) {
    text_count += count_texts(photo.texts, size);
    row_count += rows_of(photo);
    bounds += std::ssize(photo.texts.first_row);
  }
  Arena::Scope host_scope(scratch_);
  const std::span<double> competing = scratch_.take<double>(text_count * size);
  const std::span<float> rows = scratch_.take<float>(row_count * size);
  const std::span<int64_t> label_of_row = scratch_.take<int64_t>(row_count), first_row = scratch_.take<int64_t>(bounds);
  auto next_text = competing.begin();
  auto next_row = rows.begin();
  auto next_label = label_of_row.begin(), next_bound = first_row.begin();
  for (const auto& [last, texts, cams, logits, probabilities] : photos) {
    Arena::Scope own_scope(scratch_);
    next_text = std::ranges::copy(competing_texts(scratch_, texts, size), next_text).out;
    next_row = std::ranges::copy(texts.rows.first(texts.first_row.back() * size), next_row).out;
    next_bound = std::ranges::copy(texts.first_row, next_bound).out;
    for (int64_t k = 0; k < texts.labels(); ++k) next_label = std::fill_n(next_label, texts.first_row[k + 1] - texts.first_row[k], k);
  }
  const auto [sent_competing, sent_rows, sent_labels, sent_bounds] =
      send_all(arena, std::span<const double>(competing), std::span<const float>(rows), std::span<const int64_t>(label_of_row),
               std::span<const int64_t>(first_row));
  return {sent_competing, sent_rows, sent_labels, sent_bounds, text_count, row_count};
}

// Steps 1 and 2, and the copies of logits and probabilities to the host.
void CudaDevice::score_gradients(DeviceArena& arena, HostSpan<const GradCamOfPhoto> photos, const SentTexts& texts,
                                 const ScoreGradientsOfRows& out) {
  const int64_t size = model_->shape.embedding, width = model_->image.width;
  DeviceArena::Scope scope(arena);
  Arena::Scope host_scope(scratch_);
  const auto doubles = [&](int64_t r, int64_t c) { return cuda::take<double>(arena, r * c); };
  const std::span<HostArray> host = scratch_.take<HostArray>(4 * photos.size());
  float* results = take(arena, texts.text_count, 2);  // of each photo: logits, then probabilities
  ScoreGradients in{.photos = {},
                    .projection = weights_->projection,
                    .ln_post_gamma = weights_->ln_post.gamma,
                    .width = width,
                    .embedding = size,
                    .logit_scale = model_->logit_scale,
                    .row_count = texts.row_count,
                    .rows = texts.rows,
                    .directions = doubles(texts.row_count, size),
                    .dz = doubles(texts.row_count, width),
                    .a = out.a,
                    .scaled_dz = out.scaled_dz,
                    .a_bfloat16 = is_bfloat16()};
  int64_t first_text = 0, first_row = 0;
  size_t arrays = 0;
  const auto note = [&](HostSpan<float> to, int64_t count) {
    host[arrays++] = {to.data(), to.size_bytes()};
    host[arrays++] = {nullptr, count * sizeof(float) - to.size_bytes()};
  };
  for (const GradCamOfPhoto& photo : photos) {
    const int64_t count = count_texts(photo.texts, size), rows = rows_of(photo);
    float* const logits = results + 2 * first_text;
    in.photos.add({.pooled = address(photo.last_block.pooled),
                   .competing = texts.competing + first_text * size,
                   .label_of_row = texts.label_of_row + first_row,
                   .texts = count,
                   .first_row = first_row,
                   .row_count = rows,
                   .f = doubles(1, size),
                   .p = doubles(rows + 1, count),
                   .logits_out = logits,
                   .probabilities_out = logits + count});
    note(photo.logits, count);
    note(photo.probabilities, count);
    first_text += count;
    first_row += rows;
  }
  gpu_->score_gradients(in);
  fetch_all(results, host.first(arrays));
}

// Steps 2 to 4: the gradient of attention's output, and delta.
void CudaDevice::mlp_gradient(DeviceArena& arena, const GradCamParts& parts, const ScoreGradientsOfRows& scores, void* out_gradient,
                              float* delta) const {
  const Block& w = weights_->blocks.back();
  const int64_t width = model_->image.width, hidden = w.c_fc.outputs;
  const auto [rows, patches] = PartSizes(parts);
  DeviceArena::Scope scope(arena);
  float *alpha = take(arena, rows, hidden), *a_out = take(arena, rows, width), *b = take(arena, patches, 1),
        *sums = take(arena, patches, 2);
  void* const e = cuda::take(arena, patches * hidden, dtype());
  float* const product = is_bfloat16() ? take(arena, patches, width) : static_cast<float*>(out_gradient);
  const torch::Batch a = matrix(scores.a, rows, width);
  multiply(a, matrix(w.c_proj.weight, width, hidden), alpha);
  multiply(a, matrix(w.out_proj.weight, width, width), a_out);
  gpu_->mlp_gradient_e({.parts = parts,
                        .scaled_dz = scores.scaled_dz,
                        .alpha = alpha,
                        .fc_gamma = weights_->fc_gamma,
                        .fc_offset = weights_->fc_offset,
                        .width = width,
                        .hidden = hidden,
                        .exact_gelu = exact_gelu(),
                        .b = b,
                        .e = e,
                        .sums = sums,
                        .bfloat16 = is_bfloat16()});
  multiply(matrix(e, patches, hidden), torch::transposed(matrix(weights_->composite.weight, width, hidden)), product);
  gpu_->mlp_gradient_finish({.parts = parts,
                             .sums = sums,
                             .b = b,
                             .a_out = a_out,
                             .out_proj_column_sums = weights_->out_proj_column_sums,
                             .width = width,
                             .heads = model_->image.heads,
                             .product = product,
                             .gradient = out_gradient,
                             .delta = delta,
                             .bfloat16 = is_bfloat16()});
}

// Steps 2 to 5 for the rows of some parts -> cams, not normalised.
void CudaDevice::backward(DeviceArena& arena, const GradCamParts& parts, const ScoreGradientsOfRows& scores, float* cams) const {
  const int64_t width = model_->image.width, heads = model_->image.heads;
  const auto [rows, patches] = PartSizes(parts);
  DeviceArena::Scope scope(arena);
  float *delta = take(arena, patches, heads), *weights = take(arena, patches + rows, heads), *channels = take(arena, rows, width);
  void *out_gradient = cuda::take(arena, patches * width, dtype()), *sums = cuda::take(arena, rows * 3 * width, dtype());
  mlp_gradient(arena, parts, scores, out_gradient, delta);
  if (is_bfloat16()) gpu_->bfloat16_query_weights({parts, out_gradient, delta, width, heads, scale(), weights});
  else gpu_->query_weights({parts, static_cast<const float*>(out_gradient), delta, width, heads, scale(), weights});
  gpu_->qkv_gradient_sums({parts, out_gradient, delta, weights, width, heads, scale(), sums, is_bfloat16()});
  multiply(matrix(sums, rows, 3 * width), matrix(weights_->blocks.back().in_proj.weight, 3 * width, width), channels);
  gpu_->patch_cams({parts, channels, width, cams, is_bfloat16()});
}

void CudaDevice::normalise_cams(HostSpan<const GradCamOfPhoto> photos, const SentTexts& texts, float* row_cams) const {
  NormaliseCams in{};
  const int64_t* first_row = texts.first_row;
  for (const GradCamOfPhoto& photo : photos) {
    const int64_t patches = photo.last_block.patches();
    in.photos.add({row_cams, first_row, photo.texts.labels(), patches, address(photo.cams.data)});
    row_cams += rows_of(photo) * patches;
    first_row += photo.texts.first_row.size();
  }
  gpu_->normalise_cams(in);
}

void CudaDevice::softmax_gradcam(DeviceContext& c, HostSpan<const GradCamOfPhoto> photos) {
  const int64_t width = model_->image.width;
  const auto most_patches = static_cast<int64_t>(limits_.gradient_bytes / bytes_of(dtype())) / model_->last_hidden;
  DeviceArena::Scope scope(c.arena);
  const SentTexts texts = send_texts(c.arena, photos);
  ScoreGradientsOfRows next{cuda::take(c.arena, texts.row_count * width, dtype()), take(c.arena, texts.row_count, width)};
  score_gradients(c.arena, photos, texts, next);
  int64_t cam_size = 0;
  for (const GradCamOfPhoto& photo : photos) cam_size += rows_of(photo) * photo.last_block.patches();
  float* const row_cams = take(c.arena, cam_size, 1);
  float* cams = row_cams;  // of the next part
  GradCamParts parts{};
  const auto run_parts = [&] {
    c.checkpoint();
    backward(c.arena, parts, next, cams);
    const auto [rows, patches] = PartSizes(parts);
    next = {advance(next.a, rows * width, dtype()), next.scaled_dz + rows * width};
    cams += patches;
    parts.count = 0;
  };
  for (const GradCamOfPhoto& photo : photos)
    for (int64_t first = 0; first < rows_of(photo);) {
      const int64_t added = add_rows(parts, photo.last_block, rows_of(photo) - first, most_patches);
      if (added == 0) run_parts();
      first += added;
    }
  if (parts.count > 0) run_parts();
  normalise_cams(photos, texts, row_cams);
}

}  // namespace clip_es::cuda
