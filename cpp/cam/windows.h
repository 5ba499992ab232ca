// The windows that slide over a photo's grid of patches. Their sides are whole patches, so a window's patches are patches of the photo.
#pragma once
#include <cstdint>
#include <vector>

#include "cam/similarity_settings.h"
#include "core/grid.h"

namespace clip_es {

struct Windows {
  Grid photo;                          // the photo's grid
  Grid window;                         // the grid of each window
  std::vector<int64_t> rows, columns;  // where windows begin, in patches; the last one ends at the photo's end
  int64_t patch;                       // pixels
  bool whole;                          // one window: the whole photo

  int64_t count() const { return static_cast<int64_t>(rows.size() * columns.size()); }
  int64_t patches() const { return count() * window.patches(); }  // of all windows
  // The grid of cosines: patches of the whole photo, or pixels where windows overlap.
  Grid cells() const { return whole ? photo : Grid{photo.height * patch, photo.width * patch}; }
};

// The window is rounded up to whole patches and the stride is rounded down.
Windows make_windows(const SimilaritySettings&, const Grid& photo, int64_t patch);

}  // namespace clip_es
