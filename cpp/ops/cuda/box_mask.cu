// boxes = 1 inside the bounding box of every 8-connected component of the cells with int(255 * cam) > int(threshold * max), else 0. max is
// the largest int(255 * cam).
// Twins: cam/box_mask.cpp, reference/box_mask.cpp.
// One block per label. Components are found by union-find: parent[cell] is a cell of the same component with an equal or lower number, and
// two components are merged by lowering the parent of the higher root with atomicMin, so the result does not depend on the order of the
// threads. Boxes are drawn by adding +1 and -1 at their corners and summing along rows, then columns; the cost does not depend on how many
// boxes there are.
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

struct Scratch {
  int32_t *parent, *top, *left, *bottom, *right, *marks;  // (height * width) each; parent is -1 where the cell is not above the threshold
};

// Fills parent, and prepares the other arrays of `s`.
__device__ void find_components(const BoxMask& args, const float* cam, const Scratch& s) {
  const auto cells = static_cast<int32_t>(args.height * args.width), width = static_cast<int32_t>(args.width);
  int largest = 0;
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    const int value = static_cast<int>(cam[i] * 255);
    largest = value > largest ? value : largest;
  }
  const int threshold = static_cast<int>(args.threshold * block_max<kThreads>(largest));
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    s.parent[i] = static_cast<int>(cam[i] * 255) > threshold ? i : -1;
    s.top[i] = s.left[i] = cells;
    s.bottom[i] = s.right[i] = -1;
    s.marks[i] = 0;
  }
  __syncthreads();
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    if (s.parent[i] < 0) continue;
    const int32_t x = i % width;
    const auto merge_with = [&](bool exists, int32_t neighbour) {
      if (exists && s.parent[neighbour] >= 0) merge(s.parent, i, neighbour);
    };
    merge_with(x > 0, i - 1);
    merge_with(x > 0 && i >= width, i - width - 1);
    merge_with(i >= width, i - width);
    merge_with(x + 1 < width && i >= width, i - width + 1);
  }
  __syncthreads();
}

// Sets top, left, bottom and right of every root to the bounds of its component, all inclusive.
__device__ void find_bounds(const Scratch& s, int32_t cells, int32_t width) {
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    if (s.parent[i] < 0) continue;
    const int32_t root = find_root(s.parent, i);
    atomicMin(&s.top[root], i / width);
    atomicMin(&s.left[root], i % width);
    atomicMax(&s.bottom[root], i / width);
    atomicMax(&s.right[root], i % width);
  }
  __syncthreads();
}

// Marks the corners of every component's box.
__device__ void mark_corners(const Scratch& s, int32_t height, int32_t width) {
  for (int32_t i = threadIdx.x; i < height * width; i += kThreads) {
    if (s.parent[i] != i) continue;
    // As in the released code, the far corner is clipped to size - 1 and then exclusive.
    const int32_t bottom = s.bottom[i] + 1 < height - 1 ? s.bottom[i] + 1 : height - 1;
    const int32_t right = s.right[i] + 1 < width - 1 ? s.right[i] + 1 : width - 1;
    if (s.top[i] >= bottom || s.left[i] >= right) continue;
    atomicAdd(&s.marks[s.top[i] * width + s.left[i]], 1);
    atomicAdd(&s.marks[s.top[i] * width + right], -1);
    atomicAdd(&s.marks[bottom * width + s.left[i]], -1);
    atomicAdd(&s.marks[bottom * width + right], 1);
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

__global__ void __launch_bounds__(kThreads) box_mask_kernel(BoxMask args) {
  const int64_t cells = args.height * args.width;
  const auto height = static_cast<int32_t>(args.height), width = static_cast<int32_t>(args.width);
  int32_t* scratch = args.scratch + blockIdx.x * 6 * cells;
  const Scratch s{scratch, scratch + cells, scratch + 2 * cells, scratch + 3 * cells, scratch + 4 * cells, scratch + 5 * cells};
  find_components(args, args.cams + blockIdx.x * cells, s);
  find_bounds(s, height * width, width);
  mark_corners(s, height, width);
  fill_boxes(s.marks, height, width, args.boxes + blockIdx.x * cells);
}

}  // namespace

int box_mask(Stream stream, const BoxMask& args) {
  return launch(stream, box_mask_kernel, static_cast<unsigned>(args.labels), kThreads, args);
}

}  // namespace clip_es::cuda
