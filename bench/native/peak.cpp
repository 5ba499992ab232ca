#include "peak.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <span>

#include "integer_product.h"
#include "torch/backend.h"
#include "torch/library.h"

using namespace clip_es;

PeakProbe::PeakProbe(int64_t tokens, int64_t width, Precision precision)
    : tokens_(tokens),
      precision_(precision),
      x_(static_cast<size_t>(tokens * 4 * width), 0.5f),
      weight_(static_cast<size_t>(4 * width * width), 0.25f),
      bias_(static_cast<size_t>(4 * width), 1.0f),
      y_(x_.size()) {
  if (precision == Precision::kBFloat16) half_x_.assign(x_.size(), 0x3f00);
  if (precision == Precision::kInt8) integer_x_.assign(x_.size(), 3), integer_weight_.assign(weight_.size(), 5);
  for (const auto& [inputs, outputs] : {std::array{width, 3 * width}, {width, width}, {width, 4 * width}, {4 * width, width}}) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    const LinearTensors tensors{
        {weight_.begin(), weight_.begin() + inputs * outputs}, {bias_.begin(), bias_.begin() + outputs}, outputs, inputs};
    products_.push_back({inputs, outputs, Linear(tensors, precision),
                         precision == Precision::kBFloat16 ? torch::PackedWeight::make(tensors.weight.data(), inputs, outputs) : nullptr,
                         kNever, kNever});
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

// Returns false if no LibTorch is loaded or it has no such product.
bool PeakProbe::run_library(const Product& p, int64_t begin, int64_t end) {
  if (!torch::is_loaded()) return false;
  float* y = y_.data() + begin * p.outputs;
  switch (precision_) {
    case Precision::kFloat32: {
      constexpr auto kType = torch::Dtype::kFloat32;
      torch::Backend::host().mm(torch::dense(x_.data() + begin * p.inputs, kType, end - begin, p.inputs),
                                torch::transposed(torch::dense(weight_.data(), kType, p.outputs, p.inputs)),
                                torch::dense(y, kType, end - begin, p.outputs), bias_.data());
      return true;
    }
    case Precision::kBFloat16:
      if (p.packed) p.packed->multiply(half_x_.data() + begin * p.inputs, end - begin, y);
      return p.packed != nullptr;
    case Precision::kInt8:
      return library_integer_product(integer_x_.data() + begin * p.inputs, end - begin, integer_weight_.data(), p.outputs, p.inputs);
  }
  return false;
}

void PeakProbe::round(HostContext& context) {
  for (Product& p : products_) {
    std::atomic<bool> exists{true};
    double seconds = p.library;
    keep_best(seconds, [&] {
      context.pool.split(tokens_, 16, [&](int64_t begin, int64_t end) {
        if (!run_library(p, begin, end)) exists = false;
      });
    });
    if (exists) p.library = seconds;
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
