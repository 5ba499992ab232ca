#include "cam/last_block_weights.h"

#include "ops/matmul.h"

namespace clip_es {

GradCamTensors derive_gradcam_tensors(HostContext& context, const BlockTensors& last) {
  const int64_t width = last.c_fc.inputs, hidden = last.c_fc.outputs;
  const float *fc = last.c_fc.weight.data(), *out_proj = last.out_proj.weight.data();
  GradCamTensors out;
  out.fc_gamma.resize(hidden);
  out.fc_offset = last.c_fc.bias;
  Arena::Scope scope(context.arena);
  const auto scaled = context.arena.take<float>(hidden * width);  // W1, its columns multiplied by gamma_2
  for (int64_t i = 0; i < hidden; ++i) {
    double gamma_sum = 0, beta_sum = 0;
    for (int64_t c = 0; c < width; ++c) {
      const float weight = fc[i * width + c], gamma = last.ln_2.gamma[c];
      scaled[i * width + c] = weight * gamma;
      gamma_sum += static_cast<double>(weight) * gamma;
      beta_sum += static_cast<double>(weight) * last.ln_2.beta[c];
    }
    out.fc_gamma[i] = static_cast<float>(gamma_sum / width);
    out.fc_offset[i] += static_cast<float>(beta_sum);
  }
  out.composite.resize(width * hidden);
  ops::matmul(context, transposed(matrix(out_proj, width, width)), transposed(matrix(scaled.data(), hidden, width)), out.composite.data());
  out.out_proj_column_sums.assign(width, 0);
  for (int64_t row = 0; row < width; ++row)
    for (int64_t c = 0; c < width; ++c) out.out_proj_column_sums[c] += out_proj[row * width + c];
  return out;
}

LastBlockWeights make_last_block_weights(HostContext& context, const BlockTensors& last, Precision precision) {
  const int64_t width = last.c_fc.inputs, hidden = last.c_fc.outputs;
  GradCamTensors tensors = derive_gradcam_tensors(context, last);
  return {.precision = precision,
          .block = pack_block(last, precision),
          .composite = ops::pack_matrix(precision, tensors.composite.data(), width, hidden),
          .c_proj_transposed = ops::pack_transposed_matrix(precision, last.c_proj.weight.data(), hidden, width),
          .out_proj_transposed = ops::pack_transposed_matrix(precision, last.out_proj.weight.data(), width, width),
          .in_proj_transposed = ops::pack_transposed_matrix(precision, last.in_proj.weight.data(), width, 3 * width),
          .fc_gamma = std::move(tensors.fc_gamma),
          .fc_offset = std::move(tensors.fc_offset),
          .out_proj_column_sums = std::move(tensors.out_proj_column_sums)};
}

size_t LastBlockWeights::bytes() const {
  return block.bytes() + composite.bytes() + c_proj_transposed.bytes() + out_proj_transposed.bytes() + in_proj_transposed.bytes();
}

}  // namespace clip_es
