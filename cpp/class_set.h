// The file in which ClassSet.save keeps encoded classes: safetensors, so that any language reads it.
//   8 bytes: N, little-endian · N bytes: JSON · raw little-endian arrays
//   "__metadata__": { "format": "clip-es class set 1", "model": fingerprint, "fusion", and as JSON texts: "names", "background",
//                     "dropped_background", "templates" }
//   "rows" F32 (R, E), unit rows · "first_row" I32 (C + 1): class c owns rows [first_row[c], first_row[c + 1]) · "background" F32 (M, E)
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cam/softmax_gradcam.h"

namespace clip_es {

struct ClassSet {
  std::string model;  // fingerprint of the archive that encoded it
  std::vector<std::string> names, background;
  int64_t embedding = 0;
  std::vector<float> rows;             // (R, E)
  std::vector<int64_t> first_row;      // (C + 1)
  std::vector<float> background_rows;  // (M, E)

  // The texts of a softmax over all classes and the background.
  LabelTexts texts() const { return {rows, first_row, background_rows}; }
  // Throws Error kInvalidArg for another model than the one that encoded it.
  void require_model(const Model&) const;
  // The same over some classes; the set owns the rows that the texts of the result show.
  ClassSet subset(std::span<const int64_t> classes) const;
};

// Throws Error kModelRead when the file cannot be read, kModelFormat when it is not such a file.
ClassSet read_class_set(const std::string& path);

}  // namespace clip_es
