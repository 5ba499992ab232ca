// Shared by the tests of kernels and stages: contexts, reproducible random data, and random models. Each model has its weights twice:
// `fast` for the engine and `naive` for the reference twins.
#pragma once
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "clip/model_source.h"
#include "core/context.h"
#include "core/maps.h"
#include "ops/reference/reference.h"

// The folder from --libtorch or $CLIP_ES_LIBTORCH, or "" without both.
std::string libtorch_folder();
// Loads the LibTorch in libtorch_folder(), once. Skips the calling test if there is no such folder. Throws clip_es::Error if LibTorch
// cannot be loaded.
void need_libtorch();

// A context with a pool of `threads` threads. It exists until the program ends.
clip_es::HostContext& context_with(int threads);
inline clip_es::HostContext& test_context() { return context_with(3); }

class Random {
 public:
  explicit Random(uint32_t seed = 1) : generator_(seed) {}
  std::vector<float> normal(int64_t count, float scale = 1, float mean = 0);
  std::vector<float> uniform(int64_t count, float low = 0, float high = 1);
  std::vector<uint8_t> bytes(int64_t count, int below = 256);
  std::vector<float> unit_rows(int64_t rows, int64_t columns);

 private:
  std::mt19937 generator_;
};

struct TestBlock {
  clip_es::BlockTensors fast;
  clip_es::reference::BlockWeights naive;
};
TestBlock random_block(Random&, const clip_es::TransformerShape&);

// A model with one image block, for tests of the last block and GradCAM. It has no text tower and no patch embedding.
struct TestModel {
  clip_es::Model fast;
  clip_es::BlockTensors last;
  clip_es::reference::GradCamInput naive;
};

// Provides a device with the model and its only block.
class TestSource : public clip_es::ModelSource {
 public:
  explicit TestSource(const TestModel& test) : model_(std::make_shared<clip_es::Model>(test.fast)), last_(test.last) {}
  std::shared_ptr<const clip_es::Model> model() const override { return model_; }
  clip_es::LinearTensors patch_embedding() const override { return {}; }
  clip_es::BlockTensors image_block(int64_t) const override { return last_; }
  clip_es::BlockTensors text_block(int64_t) const override { return {}; }

 private:
  std::shared_ptr<const clip_es::Model> model_;
  clip_es::BlockTensors last_;
};

TestModel random_last_block(Random&, const clip_es::TransformerShape&, int64_t embedding);

inline clip_es::HostMaps maps_of(std::vector<float>& values, const clip_es::Grid& grid) {
  return {values, static_cast<int64_t>(values.size()) / grid.patches(), grid};
}
