#include "core/context.h"
#include "ops/cpu/kernels.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kSmallestCount = 1 << 14;  // elements for one thread

}  // namespace

void activate(HostContext& context, Activation activation, float* u, int64_t count) {
  context.pool.split(count, kSmallestCount, [&](int64_t begin, int64_t end) { activate(activation, u + begin, end - begin); });
}

void activate(Activation activation, float* u, int64_t count, Precision precision) {
  const Kernels& k = kernels();
  if (activation == Activation::kGelu) k.gelu(u, count);
  else if (precision == Precision::kFloat32) k.quick_gelu(u, count);
  else k.coarse_quick_gelu(u, count);
}

void activation_slope(Activation activation, const float* u, int64_t count, float* slope) {
  const Kernels& k = kernels();
  (activation == Activation::kQuickGelu ? k.quick_gelu_slope : k.gelu_slope)(u, count, slope);
}

void add_scaled(float* a, const float* b, int64_t count, float factor) { kernels().add_scaled(a, b, count, factor); }

void scale(float* a, const float* b, int64_t count, float factor) { kernels().scale(a, b, count, factor); }

void add(HostContext& context, float* a, const float* b, int64_t count) {
  const Kernels& k = kernels();
  context.pool.split(count, kSmallestCount, [&](int64_t begin, int64_t end) { k.add(a + begin, b + begin, end - begin); });
}

void add_bias(float* y, int64_t rows, int64_t columns, const float* bias) { kernels().add_bias(y, rows, columns, columns, bias); }

}  // namespace clip_es::ops
