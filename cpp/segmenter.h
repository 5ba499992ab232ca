// The engine: makes a mask from a photo and encoded words. Only segmenter.cpp knows the order of the stages.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "batch.h"
#include "clip/preprocess.h"
#include "device/device.h"
#include "loaded_model.h"
#include "mask/pixel_scores.h"
#include "request.h"

namespace clip_es {

struct SegmenterSettings {
  Precision precision = Precision::kFloat32;
  int threads = 1;
  int64_t max_side = 1024;          // see patch_grid(); 0 means no limit
  std::string device = "cpu";       // see open_device()
  std::string weights_folder = {};  // see load_model()
  // Lowers the priority of all threads that compute, including threads that call the segmenter, so that other threads of the process need
  // not wait for a core: see platform::lower_thread_priority().
  bool lower_priority = false;
};

// Not thread-safe: one call at a time. Threads that work at the same time use clones, which share the model and the weights.
class Segmenter {
 public:
  // Opens the device and reads the archive. Throws Error kDeviceUnavailable, kModelRead, kModelFormat, kOutOfMemory, or Cancelled.
  // device: if not null, used instead of the device that the settings name.
  Segmenter(const std::string& archive, const SegmenterSettings&, const std::atomic<bool>* cancelled = nullptr,
            std::unique_ptr<Device> device = nullptr);
  // Uses a model whose weights are in the memory of this device.
  Segmenter(std::shared_ptr<const LoadedModel>, const SegmenterSettings&, std::unique_ptr<Device>);

  // Returns a segmenter with the same model and device, and its own workspace, queue and `threads` threads.
  std::unique_ptr<Segmenter> clone(int threads) const;
  // Limits the number of threads that the next calls use.
  void set_threads(int threads) { pool_.set_threads(threads); }

  const Model& model() const { return *load_.loaded->model; }
  const LoadResult& load() const { return load_; }
  Precision precision() const { return settings_.precision; }
  std::string device() const { return device_->name(); }
  size_t bytes() const;          // of the weights, which clones share, and of the workspace
  uint64_t allocations() const;  // of workspace so far; does not grow for photos of a size that was segmented before

  // The following functions throw Cancelled at the next checkpoint after *cancelled became true.

  // tokens (T, context) -> embeddings (T, embedding), rows of length one.
  void encode_text(std::span<const int32_t> tokens, std::span<float> embeddings, const std::atomic<bool>* cancelled = nullptr);
  std::shared_ptr<EncodedImage> encode(const Image&, StageTimes&, const std::atomic<bool>* cancelled = nullptr);
  // Writes image (embedding) and, if `patches` is not empty, patches (grid.patches(), embedding): rows of length one, which can be compared
  // with embeddings of texts.
  void embeddings(const EncodedImage&, std::span<float> image, std::span<float> patches, const std::atomic<bool>* cancelled = nullptr);
  // Encodes parts of a photo as one batch, each with its longer side as long as the images that the model was trained on. Writes their
  // embeddings (boxes, embedding): rows of length one, as embeddings() gives for a photo.
  void embed_crops(const Image&, std::span<const PixelBox>, std::span<float> embeddings, StageTimes&,
                   const std::atomic<bool>* cancelled = nullptr);

  // Segments a batch. A failure is stored in its request and does not affect the other requests. *cancelled cancels all requests that are
  // not done; if a request has its own flag, *cancelled is checked only before its photo is segmented. Photos that the device takes at once
  // are the exception: a request's flag is checked before their stages, and *cancelled between them. The photos of a batch share matrix
  // products, so their last digits may differ from those of single photos. A batch that does not fit into memory is computed photo by
  // photo.
  void segment(std::span<Request>, const std::atomic<bool>* cancelled = nullptr);

 private:
  Segmenter(const Segmenter& first, int threads);
  HostContext host(const std::atomic<bool>* cancelled) { return {pool_, arena_, cancelled}; }
  DeviceContext on_device(const std::atomic<bool>* cancelled) { return {pool_, device_->arena(), cancelled}; }

  // segmenter.cpp: the stages in order.
  void encode_photos(DeviceContext, const PhotoBatch&, int64_t max_side, StageTimes&);
  void segment_photos(DeviceContext, HostSpan<PhotoWithWords>, StageTimes&);
  void make_maps(DeviceContext, HostSpan<PhotoWithWords>, StageTimes&);
  void make_masks(DeviceContext, HostSpan<const PhotoWithWords>, StageTimes&);
  void mask_from_scores(const PhotoWithWords&);
  void segment_by_similarity(DeviceContext, Request&, HostSpan<float> scores);
  void segment_views(DeviceContext, Request&, HostSpan<float> scores);
  void score_view(DeviceContext, const View&, Request&, const PixelScores&, HostSpan<float> scores);
  void score_by_similarity(DeviceContext, const Image&, int64_t max_side, Request&, const PixelScores&);
  HostMaps similarity_maps(DeviceContext, HostContext&, const Image&, int64_t max_side, Request&);
  void make_mask(HostContext&, Request&, const PixelScores&, HostSpan<float> scores);
  KeptLabels choose_labels(HostContext&, Request&, const PixelScores&, HostSpan<float> scores);
  void run_crf(HostContext&, Request&, const KeptLabels&);

  // segmenter_calls.cpp
  void segment_batch(std::span<Request>, const std::atomic<bool>* cancelled);
  void segment_groups(const std::atomic<bool>* cancelled);

  SegmenterSettings settings_;
  ThreadPool pool_;
  Arena arena_;  // host memory
  std::unique_ptr<Device> device_;
  LoadResult load_;
  // Kept for the next batch, so that photos of a known size need no allocation.
  PhotoBatch photos_;
  std::vector<PhotoWithWords> with_words_;
  std::vector<PhotoGroup> groups_;
  DeviceBuffer memory_;
  StageClock clock_;
};

}  // namespace clip_es
