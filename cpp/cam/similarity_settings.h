// The settings of maps by similarity. Each step can be switched off, and each published method is one combination: ts/segment has the
// table. tools/golden/similarity.py defines the steps.
#pragma once
#include <cstdint>

namespace clip_es {

struct SimilaritySettings {
  // The last block (NACLIP, arXiv 2404.08181)
  bool key_attention = true;  // softmax(k k^T) instead of softmax(q k^T)
  float neighbourhood = 5;    // standard deviation of the Gaussian prior in patches; 0: no prior
  bool residual = false, feed_forward = false;
  bool attend_class = true;  // the class token takes part in the attention

  // Attention of earlier blocks (ResCLIP, arXiv 2411.15851)
  float mix = 0;         // its share; 0: none
  float mix_factor = 1;  // factor of the mixed attention

  // Outliers and the similarity in middle blocks (SC-CLIP, arXiv 2411.15869)
  float repair = 0;            // share of the patches that are outliers and repaired; 0: none
  bool mid_attention = false;  // half of the attention is the softmax of the similarity
  bool aggregate = false;      // patches average similar ones before and after the last block
  bool fuse = false;           // adds the pass of the sum of the middle blocks
  float class_token = 0;       // share of the class token that is added to each patch

  float logit_scale = 40;          // factor of the cosines in the softmax over all words
  int64_t window = 0, stride = 0;  // pixels; window 0: the whole photo, stride 0: half a window
};

}  // namespace clip_es
