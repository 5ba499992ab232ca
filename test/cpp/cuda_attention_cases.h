// Attention of random queries, keys and values by the twin, for the tests of the float32 kernels.
#pragma once
#include <array>
#include <cmath>

#include "check.h"
#include "cuda_support.h"
#include "support.h"

// The largest difference divided by the largest absolute value of `want`.
inline double relative(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = 1e-30;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  return check::largest_difference(got, want) / largest;
}

struct Shape {
  int64_t heads, size;
  int64_t width() const { return heads * size; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(size)); }
};
inline constexpr std::array kShapes = {Shape{3, 16}, Shape{2, 64}, Shape{1, 80}, Shape{1, 128}};

// An image's queries, keys and values, which bfloat16 represents exactly, and its attention by the twin.
struct AttentionCase {
  int64_t n;
  clip_es::reference::Matrix qkv;
  clip_es::reference::Attention attention;
  GpuArray<float> g_qkv;

  AttentionCase(Random& random, int64_t tokens, const Shape& shape)
      : AttentionCase(tokens, shape, from_bfloat16(to_bfloat16(random.normal(tokens * 3 * shape.width(), 2)))) {}

  int64_t patches() const { return n - 1; }

 private:
  AttentionCase(int64_t tokens, const Shape& shape, const std::vector<float>& values)
      : n(tokens),
        qkv(tokens, 3 * shape.width(), values),
        attention(clip_es::reference::attention(qkv, shape.heads, false)),
        g_qkv(values) {}
};
