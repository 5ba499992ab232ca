// p_i = e^(scale x_i) / sum_j e^(scale x_j), with the largest exponent subtracted from all, so that none overflows.
#include <algorithm>
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {

Softmax softmax(std::span<const double> x, double scale) {
  const double largest = scale * *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const double value : x) sum += std::exp(scale * value - largest);
  Softmax out{{}, largest + std::log(sum)};
  for (const double value : x) out.probabilities.push_back(std::exp(scale * value - largest) / sum);
  return out;
}

}  // namespace clip_es::reference
