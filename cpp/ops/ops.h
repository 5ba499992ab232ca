// The elementary operations on the CPU. cpu/NAME.cpp is the fast version. reference/NAME.cpp (namespace reference) is its naive twin, with
// which the tests compare it. Matrices are row-major float32. A function without a HostContext runs on the calling thread.
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

// y = (x - mean) * rstd * gamma + beta, with mean and rstd (1 / standard deviation) of each row of x (rows, width). y may be x.
void layer_norm(HostContext&, const float* x, int64_t rows, int64_t width, const float* gamma, const float* beta, float* y);
void layer_norm_row(const float* x, int64_t width, const float* gamma, const float* beta, float* y);
// Without gamma and beta: writes x_hat (rows, width) and rstd (rows).
void normalise_rows(HostContext&, const float* x, int64_t rows, int64_t width, float* x_hat, float* rstd);

// u = activation(u), in place. kQuickGelu: u * sigmoid(1.702 u). kGelu: u * Phi(u), not the tanh approximation. The result has float32's
// precision, or an error up to 1e-5 if a lower Precision is given, because the following product rounds it further.
void activate(HostContext&, Activation, float* u, int64_t count);
void activate(Activation, float* u, int64_t count, Precision = Precision::kFloat32);
// slope_i = activation'(u_i). slope may be u.
void activation_slope(Activation, const float* u, int64_t count, float* slope);

// a += b
void add(HostContext&, float* a, const float* b, int64_t count);
// Adds bias (columns) to every row of y (rows, columns).
void add_bias(float* y, int64_t rows, int64_t columns, const float* bias);
// a += factor * b
void add_scaled(float* a, const float* b, int64_t count, float factor);
// a = factor * b. a may be b.
void scale(float* a, const float* b, int64_t count, float factor);

// The softmax of `length` elements without the division by their sum: x = e^(scale (x - largest x)), in place. scale > 0. The precision is
// as in activate().
struct ExponentialSum {
  float sum;
  float shift;                // scale * the largest x
  float log_sum_exp() const;  // of scale * x, before the call
};
ExponentialSum exponentials(float* x, int64_t length, float scale, Precision precision = Precision::kFloat32);

// The softmax of each column of x (rows, count), whose rows are `stride` floats apart, in place: x_rj = e^(scale x_rj) / sum over r.
// scale > 0. scratch (2 * count).
void softmax_columns(float* x, int64_t rows, int64_t stride, int64_t count, float scale, float* scratch);

// Pillow's bicubic resize (a = -0.5) of 8-bit pixels, with identical bytes: weights in 22-bit fixed point, the horizontal pass first,
// rounding to 8 bits after each pass, no pass in a direction whose size does not change. image (height, width, 3) -> out (out_height,
// out_width, 3).
void resize_bicubic(HostContext&, const uint8_t* image, int64_t width, int64_t height, int64_t out_width, int64_t out_height, uint8_t* out);

// Cuts image (gh * patch, gw * patch, 3) into patches and normalises them as (byte / 255 - mean) / std. out (gh * gw, 3 * patch * patch):
// each row is in the order channel, y, x, like the weights of the convolution.
void extract_patches(HostContext&, const uint8_t* image, int64_t gh, int64_t gw, int64_t patch, const float mean[3], const float std[3],
                     float* out);

// The taps of a bilinear resize in one direction (see ops/tap.h). taps (out_size).
void bilinear_taps(int64_t in_size, int64_t out_size, std::span<Tap> taps);
// One row of a resized map: out_i is map (height, width) sampled at `vertical` and horizontal_i.
void resize_bilinear_row(const float* map, int64_t width, const Tap& vertical, std::span<const Tap> horizontal, float* out);

// Subtracts the minimum, then divides by 1e-7 + the maximum, as the released CLIP-ES code does.
void min_max(float* map, int64_t count);

}  // namespace ops
}  // namespace clip_es
