// Whether the CPU treats denormal numbers as zero where the engine asks for it.
#include "core/denormals.h"

#include <cmath>
#include <vector>

#include "check.h"
#include "ops/cpu/cpu_level.h"

namespace clip_es::denormals_test {

TEST("while FlushDenormals exists, denormal numbers are zero as results and as operands; then they are numbers again") {
  volatile float small = 1e-30f, denormal = 1e-40f, result = 1;  // volatile: computed by the CPU, not by the compiler
  {
    const FlushDenormals flush;
    result = small * 1e-10f;
    CHECK(result == 0);
    result = denormal * 1e20f;
    CHECK(result == 0);
    result = small * 1e-5f;
    CHECK(result != 0);
    { const FlushDenormals again; }
    result = small * 1e-10f;
    CHECK(result == 0);
  }
  result = small * 1e-10f;
  CHECK(result != 0);
  result = denormal * 1e20f;
  CHECK(result > 0.9e-20f && result < 1.1e-20f);
}

TEST("at every level, denormal float16 numbers keep their values while FlushDenormals exists, because they are normal in float32") {
  constexpr int64_t kCount = 37;
  std::vector<uint16_t> halves;
  for (int64_t i = 0; i < kCount; ++i) halves.push_back(static_cast<uint16_t>(i * 27 + 1));
  for (const ops::CpuLevel& level : ops::cpu_levels()) {
    std::vector<float> floats(kCount);
    {
      const FlushDenormals flush;
      level.kernels.from_float16(halves.data(), kCount, floats.data());
    }
    for (size_t i = 0; i < floats.size(); ++i) CHECK(floats[i] == std::ldexp(static_cast<float>(halves[i]), -24));
  }
}

}  // namespace clip_es::denormals_test
