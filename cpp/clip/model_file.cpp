#include "clip/model_file.h"

#include <cmath>
#include <utility>

#include "clip/model_config.h"
#include "core/error.h"

namespace clip_es {
namespace {

constexpr const char* kImageBlocks = "visual.transformer.resblocks.";
constexpr const char* kTextBlocks = "transformer.resblocks.";

// Reads parameters by name. Its errors name the archive, the tensor and what was expected.
class Parameters {
 public:
  Parameters(const Archive& archive, const std::atomic<bool>* cancelled) : archive_(archive), cancelled_(cancelled) {}

  bool has(const std::string& name) const { return archive_.tensors().count(name) > 0; }

  [[noreturn]] void refuse(const std::string& what) const { throw Error(ErrorCode::kModelFormat, archive_.path() + ": " + what); }

  // The shape of a tensor with this number of dimensions, none of them zero.
  std::vector<int64_t> shape(const std::string& name, size_t dimensions) const {
    const auto found = archive_.tensors().find(name);
    if (found == archive_.tensors().end()) refuse("tensor " + name + " is missing: this is not a CLIP-ViT with OpenAI's parameter names");
    const std::vector<int64_t>& shape = found->second.shape;
    bool ok = shape.size() == dimensions;
    for (const int64_t size : shape) ok = ok && size > 0;
    if (!ok)
      refuse("tensor " + name + " is " + to_string(shape) + ", expected " + std::to_string(dimensions) + " dimensions, none of them zero");
    return shape;
  }

  // The tensor as float32. It must have this shape and hold no NaN or infinity.
  std::vector<float> read(const std::string& name, const std::vector<int64_t>& expected) const {
    if (cancelled_ && cancelled_->load(std::memory_order_relaxed)) throw Cancelled{};
    const std::vector<int64_t> found = shape(name, expected.size());
    if (found != expected) refuse("tensor " + name + " is " + to_string(found) + ", but the other tensors require " + to_string(expected));
    int64_t count = 1;
    for (const int64_t size : expected) count *= size;
    std::vector<float> values(static_cast<size_t>(count));
    archive_.read(name, values);
    for (const float value : values)
      if (!std::isfinite(value))
        refuse("tensor " + name + " holds a value that is not finite (" + std::to_string(value) + "): the weights are damaged");
    return values;
  }

  LayerNormWeights layer_norm(const std::string& name, int64_t width) const {
    return {read(name + ".weight", {width}), read(name + ".bias", {width})};
  }

  BlockTensors block(const std::string& name, int64_t width) const {
    const int64_t hidden = shape(name + ".mlp.c_fc.weight", 2)[0];
    const auto linear = [&](const std::string& weight, const std::string& bias, int64_t outputs, int64_t inputs) {
      return LinearTensors{read(name + weight, {outputs, inputs}), read(name + bias, {outputs}), outputs, inputs};
    };
    return {.ln_1 = layer_norm(name + ".ln_1", width),
            .ln_2 = layer_norm(name + ".ln_2", width),
            .in_proj = linear(".attn.in_proj_weight", ".attn.in_proj_bias", 3 * width, width),
            .out_proj = linear(".attn.out_proj.weight", ".attn.out_proj.bias", width, width),
            .c_fc = linear(".mlp.c_fc.weight", ".mlp.c_fc.bias", hidden, width),
            .c_proj = linear(".mlp.c_proj.weight", ".mlp.c_proj.bias", width, hidden)};
  }

  // Blocks are numbered from 0. A gap is an error.
  int64_t count_blocks(const std::string& tower) const {
    const std::string end = ".attn.in_proj_weight";
    int64_t count = 0, present = 0;
    while (has(tower + std::to_string(count) + end)) ++count;
    for (const auto& [name, tensor] : archive_.tensors()) present += name.starts_with(tower) && name.ends_with(end);
    if (count == 0 || present != count)
      refuse("tensor " + tower + std::to_string(count) + end + " is missing" + (count ? ", but later blocks are present" : ""));
    return count;
  }

 private:
  const Archive& archive_;
  const std::atomic<bool>* cancelled_;
};

int64_t heads(const Parameters& p, const char* tower, int64_t width, int64_t configured) {
  constexpr int64_t kHeadSize = 64;  // in every CLIP that OpenAI released
  const int64_t count = configured ? configured : width / kHeadSize;
  if (count == 0 || width % count != 0 || (!configured && width % kHeadSize != 0))
    p.refuse(std::string("the ") + tower + " tower's width " + std::to_string(width) + " does not divide into " +
             (configured ? std::to_string(configured) + " heads" : "heads of 64") +
             "; set the number of heads in the archive's clip-es.json");
  return count;
}

Activation activation_of(const ModelConfig& config) { return config.activation.value_or(Activation::kQuickGelu); }

int64_t grid_side(const Parameters& p, int64_t positions) {
  const int64_t side = std::llround(std::sqrt(static_cast<double>(positions - 1)));
  if (side == 0 || side * side + 1 != positions)
    p.refuse("tensor visual.positional_embedding has " + std::to_string(positions) + " rows; expected a square number plus one");
  return side;
}

void read_image_tower(const Parameters& p, const ModelConfig& config, Model& model) {
  const auto conv = p.shape("visual.conv1.weight", 4);
  const int64_t width = conv[0], patch = conv[2], positions = p.shape("visual.positional_embedding", 2)[0];
  const int64_t layers = p.count_blocks(kImageBlocks), embedding = p.shape("visual.proj", 2)[1];
  model.shape.patch = patch;
  model.shape.width = width;
  model.shape.layers = layers;
  model.shape.resolution = grid_side(p, positions) * patch;
  model.shape.embedding = embedding;
  model.image = {width, heads(p, "image", width, config.image_heads), activation_of(config)};
  model.last_hidden = p.shape(kImageBlocks + std::to_string(layers - 1) + ".mlp.c_fc.weight", 2)[0];
  model.class_embedding = p.read("visual.class_embedding", {width});
  model.positional_embedding = p.read("visual.positional_embedding", {positions, width});
  model.ln_pre = p.layer_norm("visual.ln_pre", width);
  model.ln_post = p.layer_norm("visual.ln_post", width);
  model.image_projection = p.read("visual.proj", {width, embedding});
}

void read_text_tower(const Parameters& p, const ModelConfig& config, Model& model) {
  const auto tokens = p.shape("token_embedding.weight", 2), projection = p.shape("text_projection", 2);
  const int64_t width = tokens[1];
  model.text_layers = p.count_blocks(kTextBlocks);
  if (projection[1] != model.shape.embedding)
    p.refuse("tensor visual.proj is " + to_string(std::vector{model.shape.width, model.shape.embedding}) +
             ", but text_projection has embeddings of size " + std::to_string(projection[1]));
  model.shape.vocabulary = tokens[0];
  model.shape.context = p.shape("positional_embedding", 2)[0];
  model.text = {width, heads(p, "text", width, config.text_heads), activation_of(config)};
  model.token_embedding = to_array(p.read("token_embedding.weight", tokens));
  model.text_positional_embedding = p.read("positional_embedding", {model.shape.context, width});
  model.ln_final = p.layer_norm("ln_final", width);
  model.text_projection = p.read("text_projection", {width, model.shape.embedding});
}

float read_logit_scale(const Parameters& p, const Archive& archive) {
  const auto found = archive.tensors().find("logit_scale");
  const bool is_scalar = found == archive.tensors().end() || found->second.shape.empty();
  const float scale = std::exp(p.read("logit_scale", is_scalar ? std::vector<int64_t>{} : std::vector<int64_t>{1})[0]);
  if (!std::isfinite(scale)) p.refuse("tensor logit_scale overflows: e^x is not finite");
  return scale;
}

std::shared_ptr<const Model> read_model(const Archive& archive, const std::atomic<bool>* cancelled) {
  const Parameters p(archive, cancelled);
  if (p.has("visual.layer1.0.conv1.weight"))
    p.refuse("this is a ResNet CLIP; attention-based refinement needs a vision transformer, such as ViT-B-16.pt");
  const ModelConfig config = read_model_config(archive);
  auto model = std::make_shared<Model>();
  model->fingerprint = archive.fingerprint();
  model->mean = config.mean;
  model->std = config.std;
  model->assumed_activation = !archive.is_torchscript() && !config.activation;
  model->assumed_heads = !archive.is_torchscript() && (!config.image_heads || !config.text_heads);
  read_image_tower(p, config, *model);
  read_text_tower(p, config, *model);
  model->logit_scale = read_logit_scale(p, archive);
  return model;
}

}  // namespace

ModelFile::ModelFile(std::unique_ptr<const Archive> archive, const std::atomic<bool>* cancelled)
    : archive_(std::move(archive)), cancelled_(cancelled), model_(read_model(*archive_, cancelled)) {}

LinearTensors ModelFile::patch_embedding() const {
  const int64_t width = model_->shape.width, patch = model_->shape.patch;
  return {Parameters(*archive_, cancelled_).read("visual.conv1.weight", {width, 3, patch, patch}), {}, width, model_->patch_values()};
}

BlockTensors ModelFile::image_block(int64_t index) const {
  return Parameters(*archive_, cancelled_).block(kImageBlocks + std::to_string(index), model_->image.width);
}

BlockTensors ModelFile::text_block(int64_t index) const {
  return Parameters(*archive_, cancelled_).block(kTextBlocks + std::to_string(index), model_->text.width);
}

}  // namespace clip_es
