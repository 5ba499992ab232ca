// Switches between the stacks of fibres.
#pragma once
#include <cstddef>

// Switches stacks: saves the callee-saved registers and the stack pointer of the current stack in *saved, and continues where `resumed` was
// saved. swapcontext would need a system call for the signal mask, which is too slow for a switch at every warp shuffle.
extern "C" void emulator_switch(void** saved, void* resumed);

namespace emulator {

// The words that emulator_switch leaves on a stack, and which of them is the address that it returns to.
#if defined(__x86_64__)
constexpr size_t kSavedWords = 8, kReturnAddress = 6;  // one word is for alignment
#elif defined(__aarch64__)
constexpr size_t kSavedWords = 20, kReturnAddress = 11;
#else
#error "the emulator switches stacks with instructions of x86-64 and arm64; configure without the tests on other CPUs"
#endif

}  // namespace emulator
