// What the operating system says of an arm64 CPU: a program cannot ask such a CPU itself.
#pragma once

namespace clip_es::platform {

struct Arm64Features {
  bool dotprod = false;  // products of four 8-bit integers, and all of Armv8.2
  bool bf16 = false, i8mm = false;
};

// Call it on arm64 only.
Arm64Features arm64_features();

}  // namespace clip_es::platform
