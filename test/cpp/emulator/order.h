// The order in which the emulator runs the threads of a block between two barriers. If a result depends on it, the kernel has a race.
#pragma once

namespace emulator {

enum class Order { kForward, kBackward, kShuffled };
extern Order order;

}  // namespace emulator
