#include "blank_model.h"

#include <stdexcept>

using namespace clip_es;

namespace {

constexpr int64_t kHeadSize = 64, kHiddenFactor = 4;  // of every CLIP-ViT

std::vector<float> zeros(int64_t count) { return std::vector<float>(static_cast<size_t>(count)); }
LayerNormWeights blank_norm(int64_t width) { return {zeros(width), zeros(width)}; }
LinearTensors blank_linear(int64_t outputs, int64_t inputs) { return {zeros(outputs * inputs), zeros(outputs), outputs, inputs}; }

}  // namespace

BlankModel::BlankModel(const BlankShape& shape) {
  auto model = std::make_shared<Model>();
  const int64_t side = shape.resolution / shape.patch;
  model->shape = {.patch = shape.patch,
                  .width = shape.width,
                  .layers = shape.layers,
                  .resolution = shape.resolution,
                  .embedding = shape.embedding,
                  .context = 0,
                  .vocabulary = 0};
  model->logit_scale = 1;
  model->std = {1, 1, 1};
  model->image = {shape.width, shape.width / kHeadSize, Activation::kQuickGelu};
  model->last_hidden = kHiddenFactor * shape.width;
  model->class_embedding = zeros(shape.width);
  model->positional_embedding = zeros((side * side + 1) * shape.width);
  model->ln_pre = model->ln_post = blank_norm(shape.width);
  model->image_projection = zeros(shape.width * shape.embedding);
  model_ = std::move(model);
}

LinearTensors BlankModel::patch_embedding() const {
  LinearTensors embedding = blank_linear(model_->shape.width, model_->patch_values());
  embedding.bias.clear();
  return embedding;
}

BlockTensors BlankModel::image_block(int64_t) const {
  const int64_t width = model_->shape.width, hidden = model_->last_hidden;
  return {.ln_1 = blank_norm(width),
          .ln_2 = blank_norm(width),
          .in_proj = blank_linear(3 * width, width),
          .out_proj = blank_linear(width, width),
          .c_fc = blank_linear(hidden, width),
          .c_proj = blank_linear(width, hidden)};
}

BlockTensors BlankModel::text_block(int64_t) const { throw std::logic_error("a BlankModel has no text tower"); }
