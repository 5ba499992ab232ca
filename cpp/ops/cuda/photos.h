// What the arguments of kernels.h have in common: several photos in one launch, and limits.
#pragma once

namespace clip_es::cuda {

// The kernels of float32 attention compute heads of up to this many channels.
constexpr int kLargestHead = 128;

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
