// The kernels, one declaration for every device: cpu/NAME.cpp is the fast one, reference/NAME.cpp (namespace reference, same
// signatures where they exist) the formula it is compared with. Matrices are row-major float32.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/precision.h"
#include "ops/tap.h"

namespace clip_es {

enum class Activation { kQuickGelu, kGelu };

namespace ops {

constexpr float kLayerNormEpsilon = 1e-5f;  // CLIP's

// y = (x - mean) * rstd * gamma + beta, each row of x (rows, width) by itself. y may be x.
void layer_norm(HostContext&, const float* x, int64_t rows, int64_t width, const float* gamma, const float* beta, float* y);
void layer_norm_row(const float* x, int64_t width, const float* gamma, const float* beta, float* y);  // one row
// Without the affine part: x_hat (rows, width) and rstd (rows), 1 / standard deviation.
void normalise_rows(HostContext&, const float* x, int64_t rows, int64_t width, float* x_hat, float* rstd);

// u = activation(u), count elements in place. quick: u * sigmoid(1.702 u); gelu: u * Phi(u), exact. To float32's precision, or to 1e-5
// where that is less work, for what is multiplied in another.
void activate(HostContext&, Activation, float* u, int64_t count);
void activate(Activation, float* u, int64_t count, Precision = Precision::kFloat32);  // one thread
// slope_i = activation'(u_i). One thread: called inside loops that are already shared. slope may be u.
void activation_slope(Activation, const float* u, int64_t count, float* slope);

// a += b, element by element.
void add(HostContext&, float* a, const float* b, int64_t count);
// y (rows, columns) += bias (columns), row by row. One thread.
void add_bias(float* y, int64_t rows, int64_t columns, const float* bias);
// a += factor * b. One thread.
void add_scaled(float* a, const float* b, int64_t count, float factor);
// a = factor * b. One thread. a may be b.
void scale(float* a, const float* b, int64_t count, float factor);

// The softmax of `length` elements but for the division by their sum: x = e^(scale (x - the largest x)), in place. One thread. To float32's
// precision, or to 1e-5, for what is multiplied in another.
struct ExponentialSum {
  float sum;
  float shift;                // scale * the largest x
  float log_sum_exp() const;  // log of the sum of e^(scale x)
};
ExponentialSum exponentials(float* x, int64_t length, float scale, Precision precision = Precision::kFloat32);

// Pillow's bicubic resize (a = -0.5) of 8-bit pixels, byte for byte: 22-bit fixed-point weights, horizontal pass first, rounded
// to 8 bits after each pass, a pass that changes nothing is left out. image (height, width, 3) -> out (out_height, out_width, 3).
void resize_bicubic(HostContext&, const uint8_t* image, int64_t width, int64_t height, int64_t out_width, int64_t out_height, uint8_t* out);

// Cuts image (gh * patch, gw * patch, 3) into patches, normalised as (byte / 255 - mean) / std: out (gh * gw, 3 * patch * patch),
// a row in the order channel, y, x, as the convolution's weights are stored.
void extract_patches(HostContext&, const uint8_t* image, int64_t gh, int64_t gw, int64_t patch, const float mean[3], const float std[3],
                     float* out);

// Taps of a bilinear resize with half-pixel centres and clamped edges, no antialias: taps has out_size elements.
void bilinear_taps(int64_t in_size, int64_t out_size, std::span<Tap> taps);
// One row of the enlarged map: map (h, w) sampled at `vertical` and at every one of `horizontal`. One thread.
void resize_bilinear_row(const float* map, int64_t width, const Tap& vertical, std::span<const Tap> horizontal, float* out);

// Subtracts the minimum, then divides by 1e-7 + the maximum, as released. One thread.
void min_max(float* map, int64_t count);

}  // namespace ops
}  // namespace clip_es
