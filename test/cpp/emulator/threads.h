// Runs kernels.
#pragma once
#include "control.h"
#include "cuda_runtime.h"

namespace emulator {

// Runs the kernel for every thread of the grid, and returns when all are done. Call it under the lock of queue.h.
void run(const Launch&, Order);

}  // namespace emulator
