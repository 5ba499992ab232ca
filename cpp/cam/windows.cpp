#include "cam/windows.h"

#include <algorithm>

namespace clip_es {
namespace {

// Where windows begin in one direction.
std::vector<int64_t> places(int64_t size, int64_t window, int64_t stride) {
  std::vector<int64_t> found;
  for (int64_t at = 0; at + window < size; at += stride) found.push_back(at);
  found.push_back(std::max<int64_t>(size - window, 0));
  return found;
}

}  // namespace

Windows make_windows(const SimilaritySettings& settings, const Grid& photo, int64_t patch) {
  if (settings.window == 0) return {photo, photo, {0}, {0}, patch, true};
  const int64_t side = (settings.window + patch - 1) / patch;
  const int64_t pixels = settings.stride > 0 ? settings.stride : settings.window / 2;
  const int64_t stride = std::max<int64_t>(pixels / patch, 1);
  return {photo,
          {std::min(side, photo.height), std::min(side, photo.width)},
          places(photo.height, side, stride),
          places(photo.width, side, stride),
          patch,
          false};
}

}  // namespace clip_es
