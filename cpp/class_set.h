// The file that ClassSet.save writes: encoded classes in the safetensors format, which other languages can read.
//   8 bytes: N, little-endian; N bytes: JSON; then raw little-endian arrays
//   "__metadata__": { "format": "clip-es class set 1", "model": fingerprint, "fusion", and as strings of JSON: "names", "background",
//                     "dropped_background", "templates" }
//   "rows" F32 (R, E): unit vectors; "first_row" I32 (C + 1): class c owns rows [first_row[c], first_row[c + 1]); "background" F32 (M, E)
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cam/softmax_gradcam.h"

namespace clip_es {

struct ClassSet {
  std::string model;  // fingerprint of the archive whose text tower encoded the classes
  std::vector<std::string> names, background;
  int64_t embedding = 0;
  std::vector<float> rows;             // (R, E)
  std::vector<int64_t> first_row;      // (C + 1)
  std::vector<float> background_rows;  // (M, E)

  // A view of all classes and background texts, for the softmax over labels. It is valid while this set exists.
  LabelTexts texts() const { return {rows, first_row, background_rows}; }
  // Throws Error kInvalidArg when another model encoded the set.
  void require_model(const Model&) const;
  // A copy with these classes, in this order, and with all background texts. Throws Error kInvalidArg for an index out of range.
  ClassSet subset(std::span<const int64_t> classes) const;
};

// Throws Error kModelRead when the file cannot be read, kModelFormat when it is not a valid class set.
ClassSet read_class_set(const std::string& path);

}  // namespace clip_es
