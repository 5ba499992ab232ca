// The order in which an emulated block's threads run between barriers. A result that depends on it is a race.
#pragma once

namespace emulator {

enum class Order { kForward, kBackward, kShuffled };
extern Order order;

}  // namespace emulator
