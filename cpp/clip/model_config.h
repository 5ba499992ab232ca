// clip-es.json: an optional file in an archive. It has the settings that OpenAI's archives do not store.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "archive/archive.h"
#include "ops/ops.h"

namespace clip_es {

struct ModelConfig {
  std::optional<Activation> activation;                                                                         // nothing: QuickGELU
  int64_t image_heads = 0, text_heads = 0;                                                                      // 0: width / 64
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f}, std{0.26862954f, 0.26130258f, 0.27577711f};  // CLIP's
};

// {"activation": "quick_gelu" | "gelu", "heads": {"image": 12, "text": 8}, "mean": [r, g, b], "std": [r, g, b]}. Every key is
// optional, and so is the file: what is missing has its default value. Throws Error kModelFormat for an unknown key or a value out of
// range.
ModelConfig read_model_config(const Archive&);

}  // namespace clip_es
