// Runs kernels.
#pragma once
#include <functional>

#include "control.h"
#include "cuda_runtime.h"

namespace emulator {

// Runs `kernel` for every thread of the grid, and returns when all are done. Call it under the lock of queue.h.
void run(dim3 grid, dim3 block, Order, const std::function<void()>& kernel);

}  // namespace emulator
