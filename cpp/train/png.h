// Decodes and encodes PNG. Pixels are as the file stores them, unless a conversion is asked for.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace clip_es::train {

enum class PngPixels {
  kRgb,     // 3 bytes a pixel, whatever the file has; without alpha
  kLabels,  // 1 byte a pixel: palette indices or grey levels
  kGrey16,  // 2 bytes a pixel in the machine's order
};

struct Png {
  int width = 0, height = 0;
  std::vector<uint8_t> bytes;
};

bool is_png(const std::string& bytes);
Png decode_png(const std::string& bytes, PngPixels pixels, const std::string& path);  // the path is for error messages

// An image of palette indices. `palette` has 256 colours of 3 bytes.
std::string encode_palette_png(int width, int height, std::span<const uint8_t> labels, std::span<const uint8_t> palette);

}  // namespace clip_es::train
