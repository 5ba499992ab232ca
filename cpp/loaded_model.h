// A model in memory. Segmenters of one archive share it within a process, and a weights file shares it among processes.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "archive/archive.h"
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

// About how many bytes the weights of an archive take on the CPU.
size_t estimate_weight_bytes(const Archive&, Precision);

// Throws Error kOutOfMemory with the remedy if the weights do not fit into the memory that is left. Without this check, the system would
// end the process while the model is loaded. limit: see platform::memory_limit(). used: see platform::resident_bytes().
void require_memory(const Archive&, Precision, size_t limit, size_t used);

// Loads a model for a device, which uses the weights after this call. weights_folder: an existing folder for weights files, or empty. A GPU
// ignores it. Throws as ModelFile does. May be called from several threads at the same time: one of them reads the archive, and the others
// wait for it.
LoadResult load_model(HostContext&, Device&, const std::string& archive, Precision, const std::string& weights_folder);

}  // namespace clip_es
