// The centre of output pixel i lies at (i + 0.5) * in / out - 0.5 of the input; outside of the outermost centres the edge pixel is
// repeated.
#include <algorithm>
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {

Matrix resize_bilinear(const Matrix& map, int64_t height, int64_t width) {
  auto position = [](int64_t i, int64_t in, int64_t out) {
    const double at = (i + 0.5) * static_cast<double>(in) / out - 0.5;
    return std::clamp(at, 0.0, static_cast<double>(in - 1));
  };
  Matrix result(height, width);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const double at_y = position(y, map.rows, height), at_x = position(x, map.columns, width);
      const auto top = static_cast<int64_t>(std::floor(at_y)), left = static_cast<int64_t>(std::floor(at_x));
      const auto bottom = static_cast<int64_t>(std::ceil(at_y)), right = static_cast<int64_t>(std::ceil(at_x));
      const double down = at_y - static_cast<double>(top), across = at_x - static_cast<double>(left);
      result(y, x) = (1 - down) * ((1 - across) * map(top, left) + across * map(top, right)) +
                     down * ((1 - across) * map(bottom, left) + across * map(bottom, right));
    }
  return result;
}

// As in the released code: subtract the minimum, then divide by 1e-7 + the maximum of the result.
std::vector<double> min_max(std::vector<double> map) {
  const double low = *std::min_element(map.begin(), map.end()), high = *std::max_element(map.begin(), map.end());
  for (double& value : map) value = (value - low) / (1e-7 + (high - low));
  return map;
}

}  // namespace clip_es::reference
