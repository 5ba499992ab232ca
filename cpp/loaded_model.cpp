#include "loaded_model.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "clip/model_file.h"
#include "core/platform/memory.h"
#include "core/platform/system_error.h"
#include "weights_file.h"

namespace clip_es {
namespace {

// The models that segmenters of this process use.
class Registry {
 public:
  using Model = std::shared_ptr<const LoadedModel>;

  // Returns the model with this key. If there is none, `load` makes it, on one thread at a time; other callers with this key wait.
  // Throws what `load` throws, or Cancelled.
  template <class Load>
  Model find_or_load(const HostContext& context, const std::string& key, Load load) {
    constexpr auto kCheckInterval = std::chrono::milliseconds(10);  // for cancellation
    std::unique_lock lock(mutex_);
    Entry& entry = entries_[key];  // its address never changes
    while (entry.loading) {
      context.checkpoint();
      changed_.wait_for(lock, kCheckInterval);
    }
    if (Model model = entry.model.lock()) return model;
    entry.loading = true;
    lock.unlock();
    // Also after an exception.
    const auto end = [&](Model model) {
      lock.lock();
      entry.loading = false;
      entry.model = model;
      changed_.notify_all();
    };
    try {
      Model model = load();
      end(model);
      return model;
    } catch (...) {
      end(nullptr);
      throw;
    }
  }

 private:
  struct Entry {
    std::weak_ptr<const LoadedModel> model;
    bool loading = false;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> entries_;  // one for each archive that was ever loaded
};

// Never destroyed, because threads may still load a model while the process ends.
Registry& registry() {
  static auto* const one = new Registry;
  return *one;
}

std::shared_ptr<const LoadedModel> read_archive(HostContext& context, Device& device, std::unique_ptr<const Archive> archive,
                                                Precision precision) {
  const ModelFile file(std::move(archive), context.cancelled);
  device.load(context, file, precision);
  return std::make_shared<LoadedModel>(LoadedModel{file.model(), std::make_shared<const TextTower>(file), device.weights()});
}

std::string megabytes(double bytes) { return std::to_string(static_cast<int64_t>(bytes / (1 << 20))) + " MB"; }

}  // namespace

size_t estimate_weight_bytes(const Archive& archive, Precision precision) {
  const size_t image = precision == Precision::kFloat32 ? 4 : precision == Precision::kBFloat16 ? 2 : 1;
  constexpr size_t kTextBlocks = 2, kOthers = 4;  // bytes of a value: see Linear::compact() and Model
  size_t bytes = 0;
  for (const auto& [name, tensor] : archive.tensors()) {
    const auto values = static_cast<size_t>(tensor.elements());
    if (name.starts_with("visual.")) bytes += values * image;
    else bytes += values * (name.starts_with("transformer.") ? kTextBlocks : kOthers);
  }
  return bytes;
}

void require_memory(const Archive& archive, Precision precision, size_t limit, size_t used) {
  const auto needed = static_cast<double>(estimate_weight_bytes(archive, precision));
  if (needed + static_cast<double>(used) <= static_cast<double>(limit)) return;
  throw Error(ErrorCode::kOutOfMemory,
              archive.path() + ": its weights need about " + megabytes(needed) + " with precision '" + name_of(precision) +
                  "', but this process may use only " + megabytes(static_cast<double>(limit)) + " and already uses " +
                  megabytes(static_cast<double>(used)) + ": use " + (precision == Precision::kInt8 ? "" : "precision 'int8', ") +
                  "a smaller model, or a machine or container with more memory");
}

LoadResult load_model(HostContext& context, Device& device, const std::string& path, Precision precision,
                      const std::string& weights_folder) {
  auto archive = std::make_unique<const Archive>(path);
  const uint64_t fingerprint = archive->fingerprint();
  const std::string key =
      device.name() + " " + std::to_string(static_cast<int>(precision)) + " " + std::to_string(fingerprint) + " " + path;
  const std::string file =
      weights_folder.empty() || device.name() != "cpu" ? "" : weights_folder + "/" + weights_file_name(fingerprint, precision);
  LoadResult result{.loaded = nullptr, .origin = WeightsOrigin::kMemory, .failure = {}};
  result.loaded = registry().find_or_load(context, key, [&] {
    result.origin = WeightsOrigin::kFile;
    if (!file.empty()) {
      try {
        if (auto loaded = read_weights_file(file, fingerprint, precision)) return loaded;
      } catch (const platform::SystemError& error) {
        result.failure = file + " cannot be read: " + error.what();
      }
    }
    result.origin = WeightsOrigin::kArchive;
    if (device.name() == "cpu") require_memory(*archive, precision, platform::memory_limit(), platform::resident_bytes());
    auto loaded = read_archive(context, device, std::move(archive), precision);
    if (file.empty() || !result.failure.empty()) return loaded;
    try {
      write_weights_file(file, fingerprint, precision, *loaded);
    } catch (const platform::SystemError& error) {
      result.failure = file + " cannot be written: " + error.what();
    }
    return loaded;
  });
  device.share(result.loaded->model, result.loaded->weights);
  return result;
}

}  // namespace clip_es
