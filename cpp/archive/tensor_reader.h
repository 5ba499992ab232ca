// Reads a strided tensor out of a record of the archive and converts it to float32 on the way, a piece at a time.
#pragma once
#include <span>

#include "archive/archive.h"

namespace clip_es {

bool is_floating_point(DType dtype);

// tensor -> out, row-major. The tensor is of a floating-point type, lies inside `record`, and has out.size() elements.
// float16 subnormals, infinities and NaN keep their value; float64 is rounded to nearest.
void read_tensor(const ZipFile& zip, const ZipEntry& record, const ArchiveTensor& tensor, std::span<float> out);

}  // namespace clip_es
