// What tests set and read of the emulator.
#pragma once
#include <cstdint>

#include "torch/backend.h"

namespace emulator {

// The order in which the blocks of a kernel run, one after the other (in a cooperative launch: between two barriers of the grid), and the
// threads of a block between two barriers. If a result depends on it, the kernel has a race. kInTurn: the launches on a stream use the
// three orders in turn.
enum class Order { kForward, kBackward, kShuffled, kInTurn };
extern Order launch_order;  // of the kernels that are launched from now on

// Of the emulated GPU. They are small, so that a block of a cooperative launch has more to do than its shared memory holds. Shared memory
// is saved only on Linux while other blocks run, so elsewhere only one block fits.
#ifdef __linux__
constexpr unsigned kMultiprocessors = 3;
#else
constexpr unsigned kMultiprocessors = 1;
#endif
constexpr size_t kSharedBytes = 64 << 10;  // that a block may ask for

// What has been queued on all streams since the program started.
struct Operations {
  int64_t kernels, products, copies, clears;
  int64_t total() const { return kernels + products + copies + clears; }
};
Operations operations();

// LibTorch's products. They are queued on the stream of the calling thread's Guard, and without a Guard on a stream that nobody waits for.
// Throws clip_es::Error kLibTorch if no LibTorch is loaded.
clip_es::torch::Backend products();

}  // namespace emulator
