#include "support.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>

#include "check.h"
#include "options.h"
#include "torch/library.h"

using namespace clip_es;

namespace {

struct TestHost {
  ThreadPool pool;
  Arena arena;
  HostContext context;
  explicit TestHost(int threads) : pool(threads, torch::use_one_thread), context{pool, arena} {}
};

std::vector<double> doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

struct TestNorm {
  LayerNormWeights fast;
  reference::LayerNormWeights naive;
};
TestNorm random_norm(Random& random, int64_t width) {
  const std::vector<float> gamma = random.normal(width, 0.2f, 1), beta = random.normal(width, 0.1f);
  return {{gamma, beta}, {doubles(gamma), doubles(beta)}};
}

struct TestLinear {
  LinearTensors fast;
  reference::LinearWeights naive;
};
TestLinear random_linear(Random& random, int64_t outputs, int64_t inputs, float gain = 1) {
  const std::vector<float> weight = random.normal(outputs * inputs, gain / std::sqrt(static_cast<float>(inputs)));
  const std::vector<float> bias = random.normal(outputs, 0.1f);
  return {{weight, bias, outputs, inputs}, {reference::Matrix(outputs, inputs, weight), doubles(bias)}};
}

}  // namespace

std::string libtorch_folder() {
  if (!options().libtorch.empty()) return options().libtorch;
  const char* folder = std::getenv("CLIP_ES_LIBTORCH");
  return folder ? folder : "";
}

void need_libtorch() {
  const std::string folder = libtorch_folder();
  if (folder.empty()) check::skip("this test needs LibTorch: give --libtorch DIR or set CLIP_ES_LIBTORCH");
  torch::load_library(folder);
  torch::use_one_thread();
}

HostContext& context_with(int threads) {
  static std::map<int, std::unique_ptr<TestHost>> hosts;
  auto& host = hosts[threads];
  if (!host) host = std::make_unique<TestHost>(threads);
  return host->context;
}

std::vector<float> Random::normal(int64_t count, float scale, float mean) {
  std::normal_distribution<float> draw(mean, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = draw(generator_);
  return values;
}

std::vector<float> Random::uniform(int64_t count, float low, float high) {
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = draw(generator_);
  return values;
}

std::vector<uint8_t> Random::bytes(int64_t count, int below) {
  std::uniform_int_distribution<int> draw(0, below - 1);
  std::vector<uint8_t> values(static_cast<size_t>(count));
  for (uint8_t& value : values) value = static_cast<uint8_t>(draw(generator_));
  return values;
}

std::vector<float> Random::unit_rows(int64_t rows, int64_t columns) {
  std::vector<float> values = normal(rows * columns);
  for (auto row = values.begin(); row != values.end(); row += columns) {
    double squares = 0;
    for (auto value = row; value != row + columns; ++value) squares += static_cast<double>(*value) * *value;
    for (auto value = row; value != row + columns; ++value) *value = static_cast<float>(*value / std::sqrt(squares));
  }
  return values;
}

TestBlock random_block(Random& random, const TransformerShape& shape) {
  const int64_t width = shape.width;
  TestNorm ln_1 = random_norm(random, width), ln_2 = random_norm(random, width);
  TestLinear in_proj = random_linear(random, 3 * width, width, 1.5f), out_proj = random_linear(random, width, width);
  TestLinear c_fc = random_linear(random, 4 * width, width), c_proj = random_linear(random, width, 4 * width);
  return {{ln_1.fast, ln_2.fast, std::move(in_proj.fast), std::move(out_proj.fast), std::move(c_fc.fast), std::move(c_proj.fast)},
          {ln_1.naive, ln_2.naive, in_proj.naive, out_proj.naive, c_fc.naive, c_proj.naive, shape.heads, shape.activation}};
}

TestModel random_last_block(Random& random, const TransformerShape& shape, int64_t embedding) {
  TestModel model{};
  TestBlock block = random_block(random, shape);
  TestNorm ln_post = random_norm(random, shape.width);
  model.fast.shape.width = shape.width;
  model.fast.shape.layers = 1;
  model.fast.shape.embedding = embedding;
  model.fast.image = shape;
  model.fast.last_hidden = block.fast.c_fc.outputs;
  model.last = std::move(block.fast);
  model.fast.ln_post = ln_post.fast;
  model.fast.image_projection = random.normal(shape.width * embedding, 1 / std::sqrt(static_cast<float>(shape.width)));
  model.fast.logit_scale = 20;
  model.naive = {block.naive, ln_post.naive, reference::Matrix(shape.width, embedding, model.fast.image_projection), 20};
  return model;
}
