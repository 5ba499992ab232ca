#include "peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <span>

#include "torch/matmul.h"

using namespace clip_es;

PeakProbe::PeakProbe(int64_t tokens, int64_t width)
    : tokens_(tokens),
      x_(static_cast<size_t>(tokens * 4 * width), 0.5f),
      weight_(static_cast<size_t>(4 * width * width), 0.25f),
      bias_(static_cast<size_t>(4 * width), 1.0f),
      y_(x_.size()) {
  for (const auto& [inputs, outputs] : {std::array{width, 3 * width}, {width, width}, {width, 4 * width}, {4 * width, width}}) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    const auto weight = std::span(weight_).first(static_cast<size_t>(inputs * outputs));
    products_.push_back({inputs, outputs,
                         torch::Linear(weight, std::span(bias_).first(static_cast<size_t>(outputs)), inputs, torch::Precision::kFloat32),
                         kNever, kNever});
    products_.back().layer.pack(torch::Precision::kFloat32);
  }
}

namespace {

template <class Body>
void keep_best(double& best, Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace

void PeakProbe::round(Context& context) {
  for (Product& p : products_) {
    keep_best(p.library, [&] {
      context.pool.split(tokens_, 16, [&](int64_t begin, int64_t end) {
        torch::linear(torch::matrix(x_.data() + begin * p.inputs, end - begin, p.inputs),
                      torch::matrix(weight_.data(), p.outputs, p.inputs), bias_.data(), y_.data() + begin * p.outputs);
      });
    });
    keep_best(p.engine, [&] { p.layer(context, x_.data(), tokens_, y_.data()); });
  }
}

double PeakProbe::flops_per_second(double Product::*seconds) const {
  double work = 0, time = 0;
  for (const Product& p : products_) {
    work += 2.0 * static_cast<double>(tokens_ * p.inputs * p.outputs);
    time += p.*seconds;
  }
  return work / time;
}
