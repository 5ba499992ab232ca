// An image tower whose weights are all 0, for what depends only on the shapes of a model. It has no text tower.
#pragma once
#include <memory>

#include "clip/model_source.h"

struct BlankShape {
  int64_t patch = 16, width = 768, layers = 12, resolution = 224, embedding = 512;  // ViT-B/16
};

class BlankModel : public clip_es::ModelSource {
 public:
  explicit BlankModel(const BlankShape& = {});

  std::shared_ptr<const clip_es::Model> model() const override { return model_; }
  clip_es::LinearTensors patch_embedding() const override;
  clip_es::BlockTensors image_block(int64_t index) const override;
  clip_es::BlockTensors text_block(int64_t index) const override;  // throws std::logic_error

 private:
  std::shared_ptr<const clip_es::Model> model_;
};
