#include "clip/model.h"

#include <cstdio>

namespace clip_es {

std::string Model::fingerprint_text() const {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(fingerprint));
  return digits;
}

size_t Model::bytes() const {
  const size_t floats = token_embedding.size() + text_positional_embedding.size() + text_projection.size() + positional_embedding.size() +
                        image_projection.size();
  return floats * sizeof(float);
}

}  // namespace clip_es
