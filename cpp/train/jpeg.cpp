#include "jpeg.h"

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstdio>

#include "core/error.h"

namespace clip_es::train {
namespace {

struct ErrorHandler {
  jpeg_error_mgr base;  // must be first: libjpeg knows only this part
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* handler = reinterpret_cast<ErrorHandler*>(info->err);
  info->err->format_message(info, handler->message);
  std::longjmp(handler->jump, 1);
}

// For libjpeg a file that is cut short is only a warning, and the rest becomes grey. Other warnings are common in photos from the web.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) on_error(info);
}

// Returns false after an error. No object with a destructor is made between setjmp() and longjmp().
bool decode(const std::string& bytes, jpeg_decompress_struct& info, ErrorHandler& handler, Photo& photo) {
  if (setjmp(handler.jump)) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  photo.width = static_cast<int>(info.output_width);
  photo.height = static_cast<int>(info.output_height);
  photo.rgb.resize(size_t{3} * info.output_width * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = photo.rgb.data() + size_t{3} * info.output_width * info.output_scanline;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

bool is_jpeg(const std::string& bytes) { return bytes.starts_with("\xff\xd8\xff"); }

Photo decode_jpeg(const std::string& bytes, const std::string& path) {
  Photo photo;
  jpeg_decompress_struct info{};
  ErrorHandler handler{};
  info.err = jpeg_std_error(&handler.base);
  handler.base.error_exit = on_error;
  handler.base.emit_message = on_message;
  const bool decoded = decode(bytes, info, handler, photo);
  jpeg_destroy_decompress(&info);
  if (!decoded)
    throw Error(ErrorCode::kInvalidArg, path + " is a damaged or unsupported JPEG (" + handler.message + "); save it again as RGB");
  return photo;
}

}  // namespace clip_es::train
