#include "png.h"

#include <png.h>

#include <cstring>

#include "core/error.h"

namespace clip_es::train {
namespace {

struct Input {
  const std::string& bytes;
  size_t position;
};

struct Message {
  char text[200];
};

void read_bytes(png_structp png, png_bytep out, size_t count) {
  auto* source = static_cast<Input*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->position) png_error(png, "the file is cut short");
  std::memcpy(out, source->bytes.data() + source->position, count);
  source->position += count;
}

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* message = static_cast<Message*>(png_get_error_ptr(png));
  std::strncpy(message->text, text, sizeof(message->text) - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}  // about chunks that this program does not use

int transforms_for(PngPixels pixels) {
  switch (pixels) {
    case PngPixels::kRgb: return PNG_TRANSFORM_EXPAND | PNG_TRANSFORM_STRIP_16 | PNG_TRANSFORM_STRIP_ALPHA | PNG_TRANSFORM_GRAY_TO_RGB;
    case PngPixels::kLabels: return PNG_TRANSFORM_PACKING;
    case PngPixels::kGrey16: break;
  }
  return PNG_TRANSFORM_SWAP_ENDIAN;
}

size_t bytes_per_pixel(PngPixels pixels) { return pixels == PngPixels::kRgb ? 3 : pixels == PngPixels::kLabels ? 1 : 2; }

// Returns false after an error. No object with a destructor is made between setjmp() and longjmp().
bool decode(png_structp png, png_infop info, Input& source, PngPixels pixels, Png& image) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_read_fn(png, &source, read_bytes);
  png_read_png(png, info, transforms_for(pixels), nullptr);
  const size_t width = png_get_image_width(png, info), height = png_get_image_height(png, info), row = width * bytes_per_pixel(pixels);
  if (png_get_rowbytes(png, info) != row) png_error(png, "its pixels have another number of bits or channels");
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.bytes.resize(row * height);
  png_bytepp rows = png_get_rows(png, info);
  for (size_t y = 0; y < height; ++y) std::memcpy(image.bytes.data() + y * row, rows[y], row);
  return true;
}

void append_bytes(png_structp png, png_bytep bytes, size_t count) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(bytes), count);
}

bool encode(png_structp png, png_infop info, int width, int height, std::span<const uint8_t> labels, std::span<const uint8_t> palette,
            std::string& out) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_write_fn(png, &out, append_bytes, nullptr);
  const auto columns = static_cast<png_uint_32>(width);
  png_set_IHDR(png, info, columns, static_cast<png_uint_32>(height), 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_color colours[256];
  std::memcpy(colours, palette.data(), sizeof(colours));
  png_set_PLTE(png, info, colours, 256);
  png_write_info(png, info);
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) png_write_row(png, labels.data() + y * columns);
  png_write_end(png, nullptr);
  return true;
}

}  // namespace

bool is_png(const std::string& bytes) { return bytes.starts_with("\x89PNG\r\n\x1a\n"); }

Png decode_png(const std::string& bytes, PngPixels pixels, const std::string& path) {
  Png image;
  Message message{};
  Input source{bytes, 0};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  const bool decoded = info && decode(png, info, source, pixels, image);
  png_destroy_read_struct(&png, &info, nullptr);
  if (decoded) return image;
  const char* expected = pixels == PngPixels::kRgb      ? "an RGB or grey PNG"
                         : pixels == PngPixels::kLabels ? "a PNG with a palette or in grey, with at most 8 bits a pixel"
                                                        : "a grey PNG with 16 bits a pixel";
  throw Error(ErrorCode::kInvalidArg, path + " cannot be decoded (" + message.text + "); expected " + expected);
}

std::string encode_palette_png(int width, int height, std::span<const uint8_t> labels, std::span<const uint8_t> palette) {
  std::string out;
  Message message{};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &message, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  const bool encoded = info && encode(png, info, width, height, labels, palette, out);
  png_destroy_write_struct(&png, &info);
  if (!encoded) throw Error(ErrorCode::kInternal, std::string("libpng cannot encode a mask: ") + message.text);
  return out;
}

}  // namespace clip_es::train
