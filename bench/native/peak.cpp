#include "peak.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "torch/matmul.h"

using namespace clip_es;

PeakProbe::PeakProbe(int64_t tokens, int64_t width)
    : tokens_(tokens),
      x_(static_cast<size_t>(tokens * 4 * width), 0.5f),
      weight_(static_cast<size_t>(4 * width * width), 0.25f),
      bias_(static_cast<size_t>(4 * width), 1.0f),
      y_(x_.size()) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  products_ = {{width, 3 * width, kNever}, {width, width, kNever}, {width, 4 * width, kNever}, {4 * width, width, kNever}};
}

void PeakProbe::round(Context& context) {
  for (Product& p : products_) {
    const auto start = std::chrono::steady_clock::now();
    context.pool.split(tokens_, 16, [&](int64_t begin, int64_t end) {
      torch::linear(torch::matrix(x_.data() + begin * p.inputs, end - begin, p.inputs), torch::matrix(weight_.data(), p.outputs, p.inputs),
                    bias_.data(), y_.data() + begin * p.outputs);
    });
    p.best = std::min(p.best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

double PeakProbe::flops_per_second() const {
  double work = 0, time = 0;
  for (const Product& p : products_) {
    work += 2.0 * static_cast<double>(tokens_ * p.inputs * p.outputs);
    time += p.best;
  }
  return work / time;
}
