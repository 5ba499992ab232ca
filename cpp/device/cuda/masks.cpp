// box_mask, refine_cams, make_pseudo_mask and score_pixels.
#include "device/cuda/device.h"

namespace clip_es::cuda {

void CudaDevice::box_mask(DeviceContext& c, const DeviceMaps& cams, const BoxSettings& settings, DeviceSpan<uint8_t> boxes) {
  DeviceArena::Scope scope(c.arena);
  int32_t* const scratch = take<int32_t>(c.arena, 6 * cams.size());
  gpu_->box_mask({address(cams.data), cams.labels, cams.grid.height, cams.grid.width, settings.threshold, scratch, address(boxes)});
}

void CudaDevice::refine_cams(DeviceContext& c, DeviceSpan<const float> attention, const DeviceMaps& cams, DeviceSpan<const uint8_t> boxes,
                             const AffinitySettings& settings, const DeviceMaps& refined) {
  c.checkpoint();
  const int64_t n = cams.grid.patches(), labels = cams.labels;
  const float* const w = address(attention);
  DeviceArena::Scope scope(c.arena);
  float* const once = take(c.arena, cams.size());  // T applied once
  float *row_factor = nullptr, *column_factor = nullptr;
  if (settings.sinkhorn_rounds == 0) {
    row_factor = column_factor = send(c.arena, std::span<const float>(std::vector<float>(n, 1.0f)));
  } else {
    row_factor = take(c.arena, n);
    column_factor = take(c.arena, n);
  }
  for (int round = 0; round < settings.sinkhorn_rounds; ++round) {
    gpu_->sinkhorn_columns({w, n, round > 0 ? row_factor : nullptr, column_factor});
    gpu_->sinkhorn_rows({w, n, column_factor, row_factor});
  }
  gpu_->apply_affinity({w, row_factor, column_factor, n, labels, address(cams.data), address(boxes), once});
  gpu_->apply_affinity({w, row_factor, column_factor, n, labels, once, nullptr, address(refined.data)});
}

void CudaDevice::make_pseudo_mask(DeviceContext& c, const DeviceMaps& maps, HostSpan<const uint8_t> value, const PhotoSize& size,
                                  const MaskSettings& settings, const MaskOutputs& host) {
  c.checkpoint();
  const int64_t pixels = size.pixels(), labels = maps.labels;
  DeviceArena::Scope scope(c.arena);
  // One piece of memory for all results, so that one copy brings them to the host.
  const size_t map_bytes = host.maps ? labels * pixels * sizeof(float) : 0, confidence_bytes = host.confidence ? pixels * sizeof(float) : 0,
               mask_bytes = host.mask ? pixels : 0;
  std::byte* const results = take<std::byte>(c.arena, static_cast<int64_t>(map_bytes + confidence_bytes + mask_bytes));
  float* const enlarged = host.maps ? reinterpret_cast<float*>(results) : nullptr;
  float* const confidence = host.confidence ? reinterpret_cast<float*>(results + map_bytes) : nullptr;
  uint8_t* const mask = host.mask ? reinterpret_cast<uint8_t*>(results + map_bytes + confidence_bytes) : nullptr;
  const uint8_t* values = send(c.arena, value);
  gpu_->min_max({address(maps.data), labels, maps.grid.patches()});
  gpu_->pseudo_mask({address(maps.data), values, labels, maps.grid.height, maps.grid.width, size.width, size.height,
                     settings.background_power, settings.ignore_below, kIgnored, mask, confidence, enlarged, nullptr});
  fetch_all(results, {{host.maps, map_bytes}, {host.confidence, confidence_bytes}, {host.mask, mask_bytes}});
}

void CudaDevice::score_pixels(DeviceContext& c, const DeviceMaps& maps, const PhotoSize& size, const MaskSettings& settings,
                              HostSpan<float> host_scores) {
  c.checkpoint();
  const int64_t pixels = size.pixels(), labels = maps.labels;
  DeviceArena::Scope scope(c.arena);
  float* const scores = take(c.arena, (labels + 1) * pixels);
  gpu_->min_max({address(maps.data), labels, maps.grid.patches()});
  gpu_->pseudo_mask({address(maps.data), nullptr, labels, maps.grid.height, maps.grid.width, size.width, size.height,
                     settings.background_power, settings.ignore_below, kIgnored, nullptr, nullptr, scores + pixels, scores});
  fetch(scores, (labels + 1) * pixels, host_scores.data());
}

}  // namespace clip_es::cuda
