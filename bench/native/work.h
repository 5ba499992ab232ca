// The operations and the memory traffic of each stage for one photo, computed from the formulas. The bench compares them with the times.
#pragma once
#include <cstdint>

#include "clip/model.h"
#include "clip/preprocess.h"

struct Work {
  // Of the matrix products; everything else is small in comparison. A multiplication with its addition counts as 2.
  double flops;
  // Read and written if each step reads its inputs and writes its results once. A photo has its share of the weights that a batch reads.
  double bytes;
};
struct StageWork {
  Work encode, gradcam, caa;
};

// rows: the number of gradients. It is above the number of labels if labels have synonyms whose CAMs are averaged.
StageWork count_work(const clip_es::Model&, clip_es::Precision, const clip_es::Grid&, int64_t labels, int64_t rows, int64_t batch);
