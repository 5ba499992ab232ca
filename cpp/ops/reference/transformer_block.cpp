// x = x + out_proj(attention(in_proj(ln_1 x))); x = x + c_proj(activation(c_fc(ln_2 x)))
#include "ops/reference/reference.h"

namespace clip_es::reference {

BlockResult transformer_block(const BlockWeights& w, const Matrix& x, bool causal) {
  const Attention attended = attention(linear(layer_norm(x, w.ln_1), w.in_proj), w.heads, causal);
  const Matrix x1 = add(x, linear(attended.out, w.out_proj));
  Matrix hidden = linear(layer_norm(x1, w.ln_2), w.c_fc);
  for (double& u : hidden.values) u = activation(w.activation, u);
  return {add(x1, linear(hidden, w.c_proj)), mean_over_heads(attended)};
}

}  // namespace clip_es::reference
