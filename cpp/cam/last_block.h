// The activations of the last block's forward pass that GradCAM's backward pass needs. Nothing here depends on words.
#pragma once
#include <cstdint>

#include "core/memory.h"

namespace clip_es {

// n tokens, N = n - 1 patches, D width, F hidden (4 D), H heads. `Floats` is HostSpan<float> or DeviceSpan<float>. If the shape says
// bfloat16, y, qkv, attended, u, omega, h_hat_out and z_hat_out hold bfloat16: two values in each float of their spans.
template <class Floats>
struct LastBlock {
  int64_t tokens = 0;               // n
  Floats y{};                       // (n, D): ln_1's output, the activation that GradCAM differentiates with respect to
  Floats qkv{};                     // (n, 3 D)
  Floats attended{};                // (n, D): attention before out_proj
  Floats log_sum_exp{};             // (H, n)
  Floats u{};                       // (N, F): c_fc's output
  Floats rstd_2{}, rstd_post{};     // (N): 1 / standard deviation in ln_2 and ln_post
  Floats omega{};                   // (N, F): W2^T z_hat, where z_hat is ln_post's normalised input
  Floats z_hat{};                   // (N, D)
  Floats h_hat_out{}, z_hat_out{};  // (N, D): h_hat (ln_2's normalised input) and z_hat times out_proj
  Floats pooled{};                  // (D): mean over patches of ln_post's output

  int64_t patches() const { return tokens - 1; }
};

using HostLastBlock = LastBlock<HostSpan<float>>;
using DeviceLastBlock = LastBlock<DeviceSpan<float>>;

struct LastBlockShape {
  int64_t width, hidden, heads;
  bool bfloat16 = false;  // width and hidden must be even
};

// The number of floats that all spans of one image need.
size_t last_block_floats(const LastBlockShape&, int64_t tokens);

// Sets the spans of several images to parts of `memory`, whose size is the sum of their last_block_floats(). Set `tokens` of each image
// before. The same span of all images is contiguous, in the order of the images, so that all images together are one matrix.
template <class Floats>
void lay_out_last_blocks(const LastBlockShape&, std::span<LastBlock<Floats>> images, Floats memory);

// The same block with another type of spans. convert() returns the new span for a span.
template <class To, class From, class Convert>
LastBlock<To> convert_last_block(const LastBlock<From>& from, Convert convert) {
  return {from.tokens,
          convert(from.y),
          convert(from.qkv),
          convert(from.attended),
          convert(from.log_sum_exp),
          convert(from.u),
          convert(from.rstd_2),
          convert(from.rstd_post),
          convert(from.omega),
          convert(from.z_hat),
          convert(from.h_hat_out),
          convert(from.z_hat_out),
          convert(from.pooled)};
}

}  // namespace clip_es
