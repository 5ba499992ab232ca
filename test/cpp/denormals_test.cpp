// Whether the CPU treats denormal numbers as zero where the engine asks for it.
#include "core/denormals.h"

#include "check.h"

using namespace clip_es;

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
