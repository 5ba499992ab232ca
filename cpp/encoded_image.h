// A photo after the stages that do not depend on words.
#pragma once
#include <cstdint>
#include <vector>

#include "cam/last_block.h"
#include "core/grid.h"
#include "core/image.h"
#include "core/memory.h"

namespace clip_es {

// A photo's encoding in the device's memory.
struct Encoding {
  PhotoSize size;  // of the photo
  Grid grid;
  DeviceLastBlock last_block;
  DeviceSpan<float> mean_attention;  // (patches, patches)
};

// An encoding that owns its memory, so that it can be segmented later.
struct EncodedImage {
  Encoding encoding;
  DeviceBuffer memory;       // holds the encoding
  std::vector<uint8_t> rgb;  // (height, width, 3): the photo, for a CRF

  Image photo() const { return {rgb.data(), encoding.size.width, encoding.size.height, 3}; }
};

}  // namespace clip_es
