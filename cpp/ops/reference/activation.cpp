// quick_gelu(u) = u * sigmoid(1.702 u); gelu(u) = u * Phi(u), Phi the normal distribution.
#include <cmath>
#include <numbers>

#include "ops/reference/reference.h"

namespace clip_es::reference {
namespace {

double sigmoid(double u) { return 1 / (1 + std::exp(-u)); }
double normal_distribution(double u) { return 0.5 * std::erfc(-u / std::numbers::sqrt2); }
double normal_density(double u) { return std::exp(-u * u / 2) / std::sqrt(2 * std::numbers::pi); }

}  // namespace

double activation(Activation kind, double u) {
  return kind == Activation::kQuickGelu ? u * sigmoid(1.702 * u) : u * normal_distribution(u);
}

double activation_slope(Activation kind, double u) {
  if (kind == Activation::kGelu) return normal_distribution(u) + u * normal_density(u);
  const double s = sigmoid(1.702 * u);
  return s + u * 1.702 * s * (1 - s);
}

}  // namespace clip_es::reference
