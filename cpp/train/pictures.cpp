#include "pictures.h"

#include <array>
#include <cstring>

#include "core/error.h"
#include "files.h"
#include "jpeg.h"
#include "png.h"

namespace clip_es::train {
namespace {

// The colours of PASCAL VOC's masks: the bits of a label are spread over the highest bits of red, green and blue.
std::array<uint8_t, 768> voc_palette() {
  std::array<uint8_t, 768> palette{};
  for (unsigned label = 0; label < 256; ++label)
    for (unsigned bit = 0; bit < 8; ++bit) palette[3 * label + bit % 3] |= static_cast<uint8_t>((label >> bit & 1) << (7 - bit / 3));
  return palette;
}

std::string read_png_file(const std::string& path) {
  std::string bytes = read_file(path);
  if (!is_png(bytes)) throw Error(ErrorCode::kInvalidArg, path + " is not a PNG file; expected a PNG mask or confidence map");
  return bytes;
}

}  // namespace

Photo read_photo(const std::string& path) {
  const std::string bytes = read_file(path);
  if (is_jpeg(bytes)) return decode_jpeg(bytes, path);
  if (!is_png(bytes)) throw Error(ErrorCode::kInvalidArg, path + " is neither a JPEG nor a PNG file; convert it to one of them");
  Png png = decode_png(bytes, PngPixels::kRgb, path);
  return {png.width, png.height, std::move(png.bytes)};
}

Mask read_mask(const std::string& path) {
  Png png = decode_png(read_png_file(path), PngPixels::kLabels, path);
  return {png.width, png.height, std::move(png.bytes)};
}

Confidence read_confidence(const std::string& path) {
  const Png png = decode_png(read_png_file(path), PngPixels::kGrey16, path);
  Confidence confidence{png.width, png.height, std::vector<float>(png.bytes.size() / 2)};
  for (size_t i = 0; i < confidence.values.size(); ++i) {
    uint16_t value;
    std::memcpy(&value, png.bytes.data() + 2 * i, 2);
    confidence.values[i] = static_cast<float>(value) / 65535;
  }
  return confidence;
}

void write_mask(const std::string& path, const Mask& mask) {
  write_file(path, encode_palette_png(mask.width, mask.height, mask.labels, voc_palette()));
}

}  // namespace clip_es::train
