// Arguments of several photos in one launch.
#pragma once

namespace clip_es::cuda {

// One launch serves several photos, which may have different sizes. Their arguments are arguments of the kernel, of which CUDA allows 4 kB.
constexpr int kMaxPhotos = 16;

template <class Photo>
struct Photos {
  int count = 0;
  Photo photo[kMaxPhotos] = {};

  // At most kMaxPhotos.
  Photo& add(const Photo& next) { return photo[count++] = next; }
};

}  // namespace clip_es::cuda
