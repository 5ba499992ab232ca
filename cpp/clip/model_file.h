// A model in an archive with OpenAI's parameter names.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "archive/archive.h"
#include "clip/model_source.h"

namespace clip_es {

class ModelFile : public ModelSource {
 public:
  // Reads everything except the blocks. Throws Error kModelRead if the file cannot be read. Throws Error kModelFormat, with the tensor's
  // name, if a tensor is missing, has a wrong shape or contains a value that is not finite. Throws Cancelled before a tensor is read.
  explicit ModelFile(std::unique_ptr<const Archive>, const std::atomic<bool>* cancelled = nullptr);
  explicit ModelFile(const std::string& path, const std::atomic<bool>* cancelled = nullptr)
      : ModelFile(std::make_unique<const Archive>(path), cancelled) {}

  std::shared_ptr<const Model> model() const override { return model_; }
  LinearTensors patch_embedding() const override;
  BlockTensors image_block(int64_t index) const override;
  BlockTensors text_block(int64_t index) const override;

 private:
  std::unique_ptr<const Archive> archive_;
  const std::atomic<bool>* cancelled_;
  std::shared_ptr<const Model> model_;
};

}  // namespace clip_es
