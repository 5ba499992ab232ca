// Maps by similarity have no CUDA kernels yet. The first stage says so; no other stage is reached.
#include "device/cuda/device.h"

namespace clip_es::cuda {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorCode::kInvalidArg, "maps 'similarity' works only on the CPU; load the model with device 'cpu', or use maps 'gradcam'");
}

}  // namespace

void CudaDevice::patch_features(DeviceContext&, const SimilaritySettings&, const Windows&, DeviceSpan<const float>, DeviceSpan<float>,
                                DeviceSpan<float>) {
  refuse();
}
void CudaDevice::compare_words(DeviceContext&, const Windows&, DeviceSpan<const float>, const LabelTexts&, const DeviceMaps&) { refuse(); }
void CudaDevice::word_maps(DeviceContext&, const Windows&, const DeviceMaps&, const LabelTexts&, float, const DeviceMaps&) { refuse(); }
void CudaDevice::refine_word_maps(DeviceContext&, DeviceSpan<const float>, const DeviceMaps&, const BoxSettings&, const AffinitySettings&,
                                  const DeviceMaps&) {
  refuse();
}
void CudaDevice::score_words(DeviceContext&, const DeviceMaps&, const LabelTexts&, float, const PhotoSize&, HostSpan<float>) { refuse(); }
void CudaDevice::enlarge_maps(DeviceContext&, const DeviceMaps&, const PhotoSize&, HostSpan<float>) { refuse(); }

}  // namespace clip_es::cuda
