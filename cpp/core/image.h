// A photo as the caller gives it, in the host's memory.
#pragma once
#include <cstdint>

namespace clip_es {

struct PhotoSize {
  int64_t width, height;
  int64_t pixels() const { return width * height; }
  bool operator==(const PhotoSize&) const = default;
};

// Tightly packed rows of 1 (grey), 3 (RGB) or 4 (RGBA, alpha is dropped) bytes per pixel.
struct Image {
  const uint8_t* data;
  int64_t width, height, channels;
  PhotoSize size() const { return {width, height}; }
};

}  // namespace clip_es
