// A model in memory. Segmenters of one archive share it within a process, and a weights file shares it among processes.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "clip/text_tower.h"
#include "device/device.h"

namespace clip_es {

struct LoadedModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const TextTower> text;
  std::shared_ptr<const DeviceWeights> weights;
};

// Where load_model() found the weights.
enum class WeightsOrigin {
  kArchive,
  kMemory,  // a segmenter of this process had read the same archive for the same device
  kFile,    // the weights file
};

struct LoadResult {
  std::shared_ptr<const LoadedModel> loaded;
  WeightsOrigin origin = WeightsOrigin::kArchive;
  std::string failure;  // why the weights file could not be read or written, or empty; the model is loaded all the same
};

// Loads a model for a device, which uses the weights after this call. weights_folder: an existing folder for weights files, or empty. A GPU
// ignores it. Throws as ModelFile does. May be called from several threads at the same time: one of them reads the archive, and the others
// wait for it.
LoadResult load_model(HostContext&, Device&, const std::string& archive, Precision, const std::string& weights_folder);

}  // namespace clip_es
