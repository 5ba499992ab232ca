// Decodes JPEG.
#pragma once
#include <string>

#include "pictures.h"

namespace clip_es::train {

bool is_jpeg(const std::string& bytes);
Photo decode_jpeg(const std::string& bytes, const std::string& path);  // the path is for error messages

}  // namespace clip_es::train
