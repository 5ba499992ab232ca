// Device and pinned memory of the emulator: host memory between two red zones. Under AddressSanitizer any access to a red zone ends the
// program. Without it, a changed red zone is found when the memory is freed and whenever somebody waits for a stream.
#pragma once
#include <cstddef>
#include <memory>

namespace emulator {

enum class Memory { kDevice, kPinned };

// Aligned to 256 bytes and filled with NaN, so that reading uninitialised memory shows in the results.
std::byte* allocate(size_t bytes, Memory);
// The memory is freed when the work that is queued now has run. Pinned memory that queued work uses must not be freed.
void release(std::byte*, Memory);
// Whether the bytes belong to one allocation of pinned memory.
bool is_pinned(const std::byte* first, size_t bytes);
void check_red_zones();

}  // namespace emulator
