// A photo as the caller gives it, in the host's memory.
#pragma once
#include <cstdint>

namespace clip_es {

struct PhotoSize {
  int64_t width, height;
  int64_t pixels() const { return width * height; }
  bool operator==(const PhotoSize&) const = default;
};

// Rows of 1 (grey), 3 (RGB) or 4 (RGBA or BGRA, alpha is dropped) bytes per pixel.
struct Image {
  const uint8_t* data;
  int64_t width, height, channels;
  int64_t row_bytes = 0;    // from one row to the next; 0: the rows are tightly packed
  bool blue_first = false;  // the order is BGRA; channels is 4

  PhotoSize size() const { return {width, height}; }
  int64_t stride() const { return row_bytes == 0 ? width * channels : row_bytes; }
  bool is_packed() const { return stride() == width * channels; }
};

// A part of a photo in pixels; right and bottom are exclusive.
struct PixelBox {
  int64_t left, top, right, bottom;
};

// Reads the photo's rows in place.
inline Image crop(const Image& image, const PixelBox& box) {
  Image part = image;
  part.data += box.top * image.stride() + box.left * image.channels;
  part.width = box.right - box.left;
  part.height = box.bottom - box.top;
  part.row_bytes = image.stride();
  return part;
}

}  // namespace clip_es
