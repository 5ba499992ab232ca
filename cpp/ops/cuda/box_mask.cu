// A block takes a class. Components by union-find: every cell points to a cell of its component with a lower or its own number, and two
// components are joined by lowering the higher root (atomicMin), so that threads need no order among them. Boxes are drawn by marking
// corners and summing along rows and columns, whatever their number and size.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// Other threads change parents meanwhile: each read must come from memory, and any value read is a cell of the same component.
__device__ int32_t find_root(const volatile int32_t* parent, int32_t cell) {
  for (int32_t above = parent[cell]; above != cell; above = parent[cell]) cell = above;
  return cell;
}

__device__ void join(int32_t* parent, int32_t a, int32_t b) {
  for (;;) {
    a = find_root(parent, a);
    b = find_root(parent, b);
    if (a == b) return;
    if (a < b) {
      const int32_t lower = a;
      a = b;
      b = lower;
    }
    const int32_t before = atomicMin(&parent[a], b);
    if (before == a) return;  // a was a root still, and is none now
    a = before;
  }
}

struct Scratch {
  int32_t *parent, *top, *left, *bottom, *right, *marks;  // (height * width) each; parent -1: the cell is off
};

__device__ void find_components(const BoxMask& in, const float* cam, const Scratch& s) {
  const auto cells = static_cast<int32_t>(in.height * in.width), width = static_cast<int32_t>(in.width);
  int largest = 0;
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    const int value = static_cast<int>(cam[i] * 255);
    largest = value > largest ? value : largest;
  }
  const int threshold = static_cast<int>(in.threshold * block_max<kThreads>(largest));
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
    const auto join_with = [&](bool exists, int32_t neighbour) {
      if (exists && s.parent[neighbour] >= 0) join(s.parent, i, neighbour);
    };
    join_with(x > 0, i - 1);
    join_with(x > 0 && i >= width, i - width - 1);
    join_with(i >= width, i - width);
    join_with(x + 1 < width && i >= width, i - width + 1);
  }
  __syncthreads();
}

__global__ void box_mask_kernel(BoxMask in) {
  const int64_t cells = in.height * in.width;
  const auto height = static_cast<int32_t>(in.height), width = static_cast<int32_t>(in.width);
  int32_t* scratch = in.scratch + blockIdx.x * 6 * cells;
  const Scratch s{scratch, scratch + cells, scratch + 2 * cells, scratch + 3 * cells, scratch + 4 * cells, scratch + 5 * cells};
  find_components(in, in.cams + blockIdx.x * cells, s);
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    if (s.parent[i] < 0) continue;
    const int32_t root = find_root(s.parent, i);
    atomicMin(&s.top[root], i / width);
    atomicMin(&s.left[root], i % width);
    atomicMax(&s.bottom[root], i / width);
    atomicMax(&s.right[root], i % width);
  }
  __syncthreads();
  for (int32_t i = threadIdx.x; i < cells; i += kThreads) {
    if (s.parent[i] != i) continue;
    // As released: the far corner is clipped to size - 1 and then exclusive.
    const int32_t bottom = s.bottom[i] + 1 < height - 1 ? s.bottom[i] + 1 : height - 1;
    const int32_t right = s.right[i] + 1 < width - 1 ? s.right[i] + 1 : width - 1;
    if (s.top[i] >= bottom || s.left[i] >= right) continue;
    atomicAdd(&s.marks[s.top[i] * width + s.left[i]], 1);
    atomicAdd(&s.marks[s.top[i] * width + right], -1);
    atomicAdd(&s.marks[bottom * width + s.left[i]], -1);
    atomicAdd(&s.marks[bottom * width + right], 1);
  }
  __syncthreads();
  for (int32_t y = threadIdx.x; y < height; y += kThreads)
    for (int32_t x = 1; x < width; ++x) s.marks[y * width + x] += s.marks[y * width + x - 1];
  __syncthreads();
  uint8_t* boxes = in.boxes + blockIdx.x * cells;
  for (int32_t x = threadIdx.x; x < width; x += kThreads) {
    int32_t covering = 0;
    for (int32_t y = 0; y < height; ++y) boxes[y * width + x] = (covering += s.marks[y * width + x]) > 0;
  }
}

}  // namespace

int box_mask(Stream stream, const BoxMask& in) { return launch(stream, box_mask_kernel, static_cast<unsigned>(in.labels), kThreads, in); }

}  // namespace clip_es::cuda
