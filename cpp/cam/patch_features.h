// Embeddings of a photo's patches that can be compared with texts patch by patch. The last block is changed, because CLIP's own mixes the
// patches so much that they look alike. tools/golden/similarity.py defines the steps; similarity_settings.h names their papers.
#pragma once
#include "cam/last_block_weights.h"
#include "cam/similarity_settings.h"
#include "cam/windows.h"
#include "clip/image_tower.h"

namespace clip_es {

// The weights that the stage reads.
struct TowerWeights {
  const ImageTower& tower;
  const LastBlockWeights& last;
};

// patches (photo's patches, 3 * patch * patch): see preprocess(). Writes features (windows.patches(), embedding), one window after another:
// rows of length one. If mean_attention (N, N) is not empty, it gets the mean attention of the whole photo, as CAA needs it.
void patch_features(HostContext&, const Model&, const TowerWeights&, const SimilaritySettings&, const Windows&,
                    HostSpan<const float> patches, HostSpan<float> features, HostSpan<float> mean_attention);

}  // namespace clip_es
