#include "cam/last_block.h"

#include <array>

namespace clip_es {
namespace {

// One span of LastBlock and its size in floats.
template <class Floats>
struct Part {
  Floats LastBlock<Floats>::*span;
  int64_t per_token, per_patch, per_image;

  size_t floats(int64_t tokens) const { return static_cast<size_t>(tokens * per_token + (tokens - 1) * per_patch + per_image); }
};

// In the order of the memory: matrices first, so that their rows are aligned to 16 bytes if `width` and `hidden` are multiples of 8.
template <class Floats>
std::array<Part<Floats>, 12> parts(const LastBlockShape& shape) {
  using Block = LastBlock<Floats>;
  const auto [width, hidden, heads, bfloat16] = shape;
  const int64_t in_float = bfloat16 ? 2 : 1, short_width = width / in_float, short_hidden = hidden / in_float;
  return {{{&Block::y, short_width, 0, 0},
           {&Block::qkv, 3 * short_width, 0, 0},
           {&Block::attended, short_width, 0, 0},
           {&Block::z_hat, 0, width, 0},
           {&Block::h_hat_out, 0, short_width, 0},
           {&Block::z_hat_out, 0, short_width, 0},
           {&Block::pooled, 0, 0, width},
           {&Block::u, 0, short_hidden, 0},
           {&Block::omega, 0, short_hidden, 0},
           {&Block::log_sum_exp, heads, 0, 0},
           {&Block::rstd_2, 0, 1, 0},
           {&Block::rstd_post, 0, 1, 0}}};
}

}  // namespace

size_t last_block_floats(const LastBlockShape& shape, int64_t tokens) {
  size_t total = 0;
  for (const auto& part : parts<HostSpan<float>>(shape)) total += part.floats(tokens);
  return total;
}

template <class Floats>
void lay_out_last_blocks(const LastBlockShape& shape, std::span<LastBlock<Floats>> images, Floats memory) {
  for (const auto& part : parts<Floats>(shape))
    for (LastBlock<Floats>& image : images) {
      const size_t count = part.floats(image.tokens);
      image.*part.span = memory.first(count);
      memory = memory.subspan(count);
    }
}

template void lay_out_last_blocks(const LastBlockShape&, std::span<HostLastBlock>, HostSpan<float>);
template void lay_out_last_blocks(const LastBlockShape&, std::span<DeviceLastBlock>, DeviceSpan<float>);

}  // namespace clip_es
