// What the stages have to do for one photo, counted from the mathematics: by it and a machine's peaks a time can be judged.
#pragma once
#include <cstdint>

#include "clip/model.h"
#include "clip/preprocess.h"

struct Work {
  double flops;  // of matrix products, two to a multiplication; the rest is small beside them
  double bytes;  // that move when every step reads what it needs and writes what it makes once; weights shared by a batch
};
struct StageWork {
  Work encode, gradcam, caa;
};

// rows: of texts whose gradients are taken, one for each label unless synonyms are fused as CAMs.
StageWork count_work(const clip_es::Model&, clip_es::Precision, const clip_es::Grid&, int64_t labels, int64_t rows, int64_t batch);
