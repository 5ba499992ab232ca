// box_mask, refine_cams, make_pseudo_mask and score_pixels.
#include "device/cuda/device.h"

namespace clip_es::cuda {
namespace {

// The bytes of a photo's results, in the order in which they are stored. Each is 0 if it is not requested.
struct ResultBytes {
  size_t maps, confidence, mask;

  explicit ResultBytes(const MaskOfPhoto& photo) {
    const size_t pixels = photo.size.pixels();
    maps = photo.outputs.maps ? photo.maps.labels * pixels * sizeof(float) : 0;
    confidence = photo.outputs.confidence ? pixels * sizeof(float) : 0;
    mask = photo.outputs.mask ? (pixels + sizeof(float) - 1) / sizeof(float) * sizeof(float) : 0;  // keeps the next photo aligned
  }
  size_t total() const { return maps + confidence + mask; }
};

MinMaxPhoto min_max_of(const DeviceMaps& maps) { return {address(maps.data), maps.labels, maps.grid.patches()}; }

}  // namespace

void CudaDevice::box_mask(DeviceContext& c, HostSpan<const BoxesOfPhoto> photos) {
  DeviceArena::Scope scope(c.arena);
  BoxMask in{};
  for (const auto& [cams, settings, boxes] : photos)
    in.photos.add({address(cams.data), cams.labels, cams.grid.height, cams.grid.width, settings.threshold,
                   take<int32_t>(c.arena, 6 * cams.size()), address(boxes)});
  gpu_->box_mask(in);
}

void CudaDevice::refine_cams(DeviceContext& c, HostSpan<const RefinementOfPhoto> photos) {
  c.checkpoint();
  DeviceArena::Scope scope(c.arena);
  RefineCams in{};
  for (const auto& [attention, cams, boxes, settings, refined] : photos) {
    const int64_t n = cams.grid.patches();
    in.photos.add({address(attention), address(cams.data), address(boxes), n, cams.labels, settings.sinkhorn_rounds, take(c.arena, n),
                   take(c.arena, n), take(c.arena, cams.size()), take(c.arena, affinity_chunks(n) * kAffinityLabels * n),
                   address(refined.data)});
  }
  gpu_->refine_cams(in);
}

void CudaDevice::make_pseudo_mask(DeviceContext& c, HostSpan<const MaskOfPhoto> photos) {
  for (size_t first = 0, end; first < photos.size(); first = end) {
    c.checkpoint();
    size_t bytes = ResultBytes(photos[first]).total();
    for (end = first + 1; end < photos.size(); ++end) {
      bytes += ResultBytes(photos[end]).total();
      if (bytes > limits_.result_bytes) break;
    }
    make_masks(c.arena, photos.subspan(first, end - first));
  }
}

// The results of all photos are in one piece of memory, so that one copy brings them to the host. So are the labels' values.
void CudaDevice::make_masks(DeviceArena& arena, HostSpan<const MaskOfPhoto> photos) {
  DeviceArena::Scope scope(arena);
  Arena::Scope host_scope(scratch_);
  size_t bytes = 0, labels = 0;
  for (const MaskOfPhoto& photo : photos) {
    bytes += ResultBytes(photo).total();
    labels += photo.value.size();
  }
  const std::span<uint8_t> all_values = scratch_.take<uint8_t>(labels);
  auto next_value = all_values.begin();
  for (const MaskOfPhoto& photo : photos) next_value = std::ranges::copy(photo.value, next_value).out;
  const uint8_t* values = send(arena, std::span<const uint8_t>(all_values));
  std::byte* const results = take<std::byte>(arena, static_cast<int64_t>(bytes));
  const std::span<HostArray> host = scratch_.take<HostArray>(4 * photos.size());
  size_t offset = 0, arrays = 0;
  // Returns the memory of a result, or null if its size is 0. Stores where the host wants the result.
  const auto place = [&](size_t size, size_t padding, void* to) {
    std::byte* const at = size > 0 ? results + offset : nullptr;
    host[arrays++] = {to, size};
    if (padding > 0) host[arrays++] = {nullptr, padding};
    offset += size + padding;
    return at;
  };
  MinMax min_max{};
  PseudoMask in{.photos = {}, .ignored_value = kIgnored};
  for (const auto& [maps, value, size, settings, outputs] : photos) {
    const ResultBytes result({maps, value, size, settings, outputs});
    const size_t mask_bytes = result.mask > 0 ? size.pixels() : 0;
    auto* const enlarged = reinterpret_cast<float*>(place(result.maps, 0, outputs.maps));
    auto* const confidence = reinterpret_cast<float*>(place(result.confidence, 0, outputs.confidence));
    auto* const mask = reinterpret_cast<uint8_t*>(place(mask_bytes, result.mask - mask_bytes, outputs.mask));
    min_max.photos.add(min_max_of(maps));
    in.photos.add({address(maps.data), values, maps.labels, maps.grid.height, maps.grid.width, size.width, size.height,
                   settings.background_power, settings.ignore_below, settings.background_below, mask, confidence, enlarged});
    values += value.size();
  }
  gpu_->min_max(min_max);
  gpu_->pseudo_mask(in);
  fetch_all(results, host.first(arrays));
}

void CudaDevice::score_pixels(DeviceContext& c, const DeviceMaps& maps, const PhotoSize& size, HostSpan<float> host_scores) {
  c.checkpoint();
  const int64_t count = maps.labels * size.pixels();
  DeviceArena::Scope scope(c.arena);
  float* const scores = take(c.arena, count);
  MinMax min_max{};
  PseudoMask in{.photos = {}, .ignored_value = kIgnored};
  min_max.photos.add(min_max_of(maps));
  PseudoMaskPhoto& photo = in.photos.add({});
  photo.maps = address(maps.data);
  photo.labels = maps.labels;
  photo.gh = maps.grid.height;
  photo.gw = maps.grid.width;
  photo.width = size.width;
  photo.height = size.height;
  photo.enlarged = scores;
  gpu_->min_max(min_max);
  gpu_->pseudo_mask(in);
  fetch(scores, count, host_scores.data());
}

}  // namespace clip_es::cuda
