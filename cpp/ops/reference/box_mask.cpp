// The union of the bounding boxes of the 8-connected components of the cells above the threshold, found by flood fill.
#include <algorithm>
#include <utility>

#include "ops/reference/reference.h"

namespace clip_es::reference {

std::vector<uint8_t> box_mask(std::span<const float> cam, int64_t height, int64_t width, double threshold) {
  auto at = [&](int64_t y, int64_t x) { return static_cast<size_t>(y * width + x); };
  std::vector<int> quantised;
  for (const float value : cam) quantised.push_back(static_cast<int>(value * 255.0f));
  const int limit = static_cast<int>(threshold * *std::max_element(quantised.begin(), quantised.end()));
  std::vector<bool> seen(cam.size());
  std::vector<uint8_t> mask(cam.size());
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      if (quantised[at(y, x)] <= limit || seen[at(y, x)]) continue;
      std::vector<std::pair<int64_t, int64_t>> component{{y, x}};
      seen[at(y, x)] = true;
      for (size_t next = 0; next < component.size(); ++next)
        for (int64_t dy = -1; dy <= 1; ++dy)
          for (int64_t dx = -1; dx <= 1; ++dx) {
            const int64_t cy = component[next].first + dy, cx = component[next].second + dx;
            if (cy < 0 || cy >= height || cx < 0 || cx >= width || quantised[at(cy, cx)] <= limit || seen[at(cy, cx)]) continue;
            seen[at(cy, cx)] = true;
            component.push_back({cy, cx});
          }
      int64_t top = y, bottom = y, left = x, right = x;
      for (const auto& [cy, cx] : component) {
        top = std::min(top, cy), bottom = std::max(bottom, cy);
        left = std::min(left, cx), right = std::max(right, cx);
      }
      // As in the released code: the far corner is clipped to size - 1 and then used as an exclusive bound.
      for (int64_t cy = top; cy < std::min(bottom + 1, height - 1); ++cy)
        for (int64_t cx = left; cx < std::min(right + 1, width - 1); ++cx) mask[at(cy, cx)] = 1;
    }
  return mask;
}

}  // namespace clip_es::reference
