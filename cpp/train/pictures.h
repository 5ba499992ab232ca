// Photos, masks and confidence maps, and the files they are in.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace clip_es::train {

struct Photo {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // height x width x 3
};

struct Mask {
  int width = 0, height = 0;
  std::vector<uint8_t> labels;  // height x width: indices of classes; kIgnored
};
constexpr uint8_t kIgnored = 255;

struct Confidence {
  int width = 0, height = 0;
  std::vector<float> values;  // height x width, in [0, 1]
};

// All readers throw Error kIo when the file cannot be read, and kInvalidArg when it is damaged or of another kind.
Photo read_photo(const std::string& path);            // JPEG or PNG; grey becomes RGB, alpha is left out
Mask read_mask(const std::string& path);              // PNG with a palette or in grey, 8 bits or fewer
Confidence read_confidence(const std::string& path);  // 16-bit grey PNG; 65535 means 1

// PNG with the colours of PASCAL VOC.
void write_mask(const std::string& path, const Mask& mask);

}  // namespace clip_es::train
