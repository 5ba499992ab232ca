// The naive twin of the dense CRF. Sums over all pairs of pixels, each pixel with itself included, as in Krähenbühl and Koltun's code:
// message_i = sum over both kernels of weight * sum_j k_ij q_j / sqrt(sum_j k_ij) / sqrt(sum_i k_ij).
#include "crf/reference/dense_crf.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace clip_es::reference {
namespace {

Matrix softmax_of_columns(const Matrix& x) {
  Matrix q(x.rows, x.columns);
  for (int64_t i = 0; i < x.columns; ++i) {
    std::vector<double> column;
    for (int64_t l = 0; l < x.rows; ++l) column.push_back(x(l, i));
    const Softmax s = softmax(column, 1);
    for (int64_t l = 0; l < x.rows; ++l) q(l, i) = s.probabilities[l];
  }
  return q;
}

// features (pixels, d): each is divided by its sigma.
Matrix normalised_kernel(const Matrix& features) {
  Matrix k(features.rows, features.rows);
  std::vector<double> sum(static_cast<size_t>(features.rows));
  for (int64_t i = 0; i < features.rows; ++i)
    for (int64_t j = 0; j < features.rows; ++j) {
      double distance = 0;
      for (int64_t c = 0; c < features.columns; ++c) distance += (features(i, c) - features(j, c)) * (features(i, c) - features(j, c));
      k(i, j) = std::exp(-distance / 2);
      sum[i] += k(i, j);
    }
  for (int64_t i = 0; i < k.rows; ++i)
    for (int64_t j = 0; j < k.columns; ++j) k(i, j) /= std::sqrt(sum[i] * sum[j]);
  return k;
}

}  // namespace

Matrix dense_crf(std::span<const uint8_t> rgb, int64_t width, int64_t height, const Matrix& scores, const CrfSettings& settings) {
  const int64_t pixels = width * height;
  const double mean[3] = {122.675, 116.669, 104.008};
  Matrix position(pixels, 2), bilateral(pixels, 5);
  for (int64_t i = 0; i < pixels; ++i) {
    const double at[2] = {static_cast<double>(i % width), static_cast<double>(i / width)};
    for (int64_t c = 0; c < 2; ++c) {
      position(i, c) = at[c] / settings.position_sigma;
      bilateral(i, c) = at[c] / settings.bilateral_position_sigma;
    }
    for (int64_t c = 0; c < 3; ++c) {
      double level = rgb[i * 3 + c];
      if (settings.released) level = static_cast<uint8_t>(static_cast<int>(level - mean[c]));
      bilateral(i, 2 + c) = level / settings.bilateral_colour_sigma;
    }
  }
  const Matrix kernels[2] = {normalised_kernel(position), normalised_kernel(bilateral)};
  const double weights[2] = {settings.position_weight, settings.bilateral_weight};
  Matrix log_scores(scores.rows, pixels);
  for (size_t i = 0; i < scores.values.size(); ++i) log_scores.values[i] = std::log(std::clamp(scores.values[i], 1e-5, 1.0));
  Matrix q = softmax_of_columns(log_scores);
  for (int round = 0; round < settings.rounds; ++round) {
    Matrix x = log_scores;
    for (int k = 0; k < 2; ++k) {
      const Matrix message = matmul(q, kernels[k]);
      for (size_t i = 0; i < x.values.size(); ++i) x.values[i] += weights[k] * message.values[i];
    }
    q = softmax_of_columns(x);
  }
  return q;
}

}  // namespace clip_es::reference
