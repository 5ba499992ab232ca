// boxes = 1 inside the bounding box of every 8-connected component of the cells with int(255 * cam) > int(threshold * max), else 0. max is
// the largest int(255 * cam).
// Twins: cam/box_mask.cpp, reference/box_mask.cpp.
// One block per photo and label. Components are found by union-find: parent[cell] is a cell of the same component with an equal or lower
// number, and two components are merged by lowering the parent of the higher root with atomicMin, so the result does not depend on the
// order of the threads. Boxes are drawn by adding +1 and -1 at their corners and summing along rows, then columns; the cost does not depend
// on how many boxes there are.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// Other threads change parents at the same time. volatile forces a read from memory; every value read is a cell of the same component.
__device__ int32_t find_root(const volatile int32_t* parent, int32_t cell) {
  for (int32_t next = parent[cell]; next != cell; next = parent[cell]) cell = next;
  return cell;
}

// Merges the components of the cells a and b.
__device__ void merge(int32_t* parent, int32_t a, int32_t b) {
  for (;;) {
    a = find_root(parent, a);
    b = find_root(parent, b);
    if (a == b) return;
    if (a < b) {
      const int32_t lower = a;
      a = b;
      b = lower;
    }
    const int32_t previous = atomicMin(&parent[a], b);
    if (previous == a) return;  // a was still a root, so its component now belongs to b
    a = previous;               // another thread was faster: merge what it wrote, too
  }
}

// The arrays of one label, of one element per cell.
struct Scratch {
  int32_t* memory;  // (6, cells)
  int32_t cells;

  __device__ int32_t* parent() const { return memory; }  // -1 where the cell is not above the threshold
  __device__ int32_t* top() const { return memory + cells; }
  __device__ int32_t* left() const { return memory + 2 * cells; }
  __device__ int32_t* bottom() const { return memory + 3 * cells; }
  __device__ int32_t* right() const { return memory + 4 * cells; }
  __device__ int32_t* marks() const { return memory + 5 * cells; }
};

// Fills parent, and prepares the other arrays of `s`.
__device__ void find_components(const BoxMaskPhoto& photo, const float* cam, const Scratch& s) {
  const auto cells = static_cast<int32_t>(photo.height * photo.width), width = static_cast<int32_t>(photo.width);
  int largest = 0;
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    const int value = static_cast<int>(cam[i] * 255);
    largest = value > largest ? value : largest;
  }
  const int threshold = static_cast<int>(photo.threshold * block_max<kThreads>(largest));
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    s.parent()[i] = static_cast<int>(cam[i] * 255) > threshold ? i : -1;
    s.top()[i] = s.left()[i] = cells;
    s.bottom()[i] = s.right()[i] = -1;
    s.marks()[i] = 0;
  }
  __syncthreads();
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    if (s.parent()[i] < 0) continue;
    const int32_t x = i % width;
    const auto merge_with = [&](int32_t neighbour) {
      if (s.parent()[neighbour] >= 0) merge(s.parent(), i, neighbour);
    };
    if (x > 0) merge_with(i - 1);
    if (i < width) continue;
    const int32_t above = i - width, last = x + 1 < width ? above + 1 : above;
    for (int32_t neighbour = x > 0 ? above - 1 : above; neighbour <= last; ++neighbour) merge_with(neighbour);
  }
  __syncthreads();
}

// Sets top, left, bottom and right of every root to the bounds of its component, all inclusive.
__device__ void find_bounds(const Scratch& s, int32_t cells, int32_t width) {
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    if (s.parent()[i] < 0) continue;
    const int32_t root = find_root(s.parent(), i);
    atomicMin(&s.top()[root], i / width);
    atomicMin(&s.left()[root], i % width);
    atomicMax(&s.bottom()[root], i / width);
    atomicMax(&s.right()[root], i % width);
  }
  __syncthreads();
}

// Marks the corners of every component's box.
__device__ void mark_corners(const Scratch& s, int32_t height, int32_t width) {
  for (int32_t i = threadIdx.x; i < height * width; i += kThreads) {
    if (s.parent()[i] != i) continue;
    // As in the released code, the far corner is clipped to size - 1 and then exclusive.
    const int32_t bottom = s.bottom()[i] + 1 < height - 1 ? s.bottom()[i] + 1 : height - 1;
    const int32_t right = s.right()[i] + 1 < width - 1 ? s.right()[i] + 1 : width - 1;
    if (s.top()[i] >= bottom || s.left()[i] >= right) continue;
    atomicAdd(&s.marks()[s.top()[i] * width + s.left()[i]], 1);
    atomicAdd(&s.marks()[s.top()[i] * width + right], -1);
    atomicAdd(&s.marks()[bottom * width + s.left()[i]], -1);
    atomicAdd(&s.marks()[bottom * width + right], 1);
  }
  __syncthreads();
}

// boxes = 1 where the two-dimensional prefix sum of the marks is positive. One thread per row, then one per column.
__device__ void fill_boxes(int32_t* marks, int32_t height, int32_t width, uint8_t* boxes) {
  for (int32_t y = threadIdx.x; y < height; y += kThreads)
    for (int32_t x = 1; x < width; ++x) marks[y * width + x] += marks[y * width + x - 1];
  __syncthreads();
  for (int32_t x = threadIdx.x; x < width; x += kThreads) {
    int32_t covering = 0;
    for (int32_t y = 0; y < height; ++y) boxes[y * width + x] = (covering += marks[y * width + x]) > 0;
  }
}

// There are few blocks, so a multiprocessor's registers need not be enough for several: 1 lets the compiler use more of them.
__global__ void __launch_bounds__(kThreads, 1) box_mask_kernel(const __grid_constant__ BoxMask args) {
  const BoxMaskPhoto& photo = args.photos.photo[blockIdx.z];
  if (blockIdx.x >= photo.labels) return;
  const int64_t cells = photo.height * photo.width;
  const auto height = static_cast<int32_t>(photo.height), width = static_cast<int32_t>(photo.width);
  const Scratch s{photo.scratch + blockIdx.x * 6 * cells, height * width};
  find_components(photo, photo.cams + blockIdx.x * cells, s);
  find_bounds(s, height * width, width);
  mark_corners(s, height, width);
  fill_boxes(s.marks(), height, width, photo.boxes + blockIdx.x * cells);
}

}  // namespace

int box_mask(Stream stream, const BoxMask& args) {
  const unsigned labels = most_blocks(args.photos, [](const auto& photo) { return static_cast<unsigned>(photo.labels); });
  return launch(stream, box_mask_kernel, {labels, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
