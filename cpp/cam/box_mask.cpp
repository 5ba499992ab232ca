#include "cam/box_mask.h"

#include <algorithm>
#include <utility>

namespace clip_es {
namespace {

struct Box {
  int64_t top, left, bottom, right;  // all inclusive
};

// Flood fill from (y, x) over cells that are on. It turns visited cells off. stack has room for every cell once.
Box take_component(std::span<uint8_t> on, int64_t height, int64_t width, int64_t y, int64_t x, std::span<int32_t> stack) {
  Box box{y, x, y, x};
  size_t depth = 0;
  auto visit = [&](int64_t cell) {
    on[cell] = 0;
    stack[depth++] = static_cast<int32_t>(cell);
  };
  visit(y * width + x);
  while (depth > 0) {
    const int64_t cell = stack[--depth], cy = cell / width, cx = cell % width;
    box = {std::min(box.top, cy), std::min(box.left, cx), std::max(box.bottom, cy), std::max(box.right, cx)};
    for (int64_t ny = std::max<int64_t>(cy - 1, 0); ny <= std::min(cy + 1, height - 1); ++ny)
      for (int64_t nx = std::max<int64_t>(cx - 1, 0); nx <= std::min(cx + 1, width - 1); ++nx)
        if (on[ny * width + nx]) visit(ny * width + nx);
  }
  return box;
}

void box_mask_of_one(HostContext& context, const float* cam, const Grid& grid, const BoxSettings& settings, uint8_t* mask) {
  const auto [height, width] = grid;
  const int64_t cells = grid.patches();
  Arena::Scope scope(context.arena);
  const auto on = context.arena.take<uint8_t>(cells);
  const auto stack = context.arena.take<int32_t>(cells);
  for (int64_t i = 0; i < cells; ++i) on[i] = static_cast<uint8_t>(cam[i] * 255);
  const int threshold = static_cast<int>(settings.threshold * *std::ranges::max_element(on));
  for (uint8_t& cell : on) cell = cell > threshold;
  std::fill_n(mask, cells, uint8_t{0});
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      if (!on[y * width + x]) continue;
      const Box box = take_component(on, height, width, y, x, stack);
      const int64_t bottom = std::min(box.bottom + 1, height - 1), right = std::min(box.right + 1, width - 1);  // exclusive
      for (int64_t row = box.top; row < bottom; ++row)
        if (box.left < right) std::fill(mask + row * width + box.left, mask + row * width + right, uint8_t{1});
    }
}

}  // namespace

void box_mask(HostContext& context, const HostMaps& cams, const BoxSettings& settings, HostSpan<uint8_t> boxes) {
  for (int64_t k = 0; k < cams.labels; ++k)
    box_mask_of_one(context, cams.map(k).data(), cams.grid, settings, boxes.data() + k * cams.grid.patches());
}

}  // namespace clip_es
