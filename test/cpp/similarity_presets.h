// The settings of the published methods: the rows of ts/segment/similarity_presets.ts.
#pragma once
#include <string>
#include <vector>

#include "cam/similarity_settings.h"

struct SimilarityPreset {
  std::string name;
  clip_es::SimilaritySettings settings;
};

inline std::vector<SimilarityPreset> similarity_presets() {
  return {{"clip", {.key_attention = false, .neighbourhood = 0, .residual = true, .feed_forward = true}},
          {"naclip", {}},
          {"resclip", {.mix = 0.3f, .mix_factor = 2}},
          {"sc-clip",
           {.neighbourhood = 0,
            .attend_class = false,
            .repair = 0.05f,
            .mid_attention = true,
            .aggregate = true,
            .fuse = true,
            .class_token = 0.3f}}};
}
