// Reads a strided tensor from a record of the archive in pieces, and converts it to float32.
#pragma once
#include <span>

#include "archive/archive.h"

namespace clip_es {

bool is_floating_point(DType dtype);

// Writes the tensor to `out` in row-major order. The tensor must have a floating-point type and out.size() elements, and must lie inside
// `record`. float16 subnormals, infinities and NaN keep their value; float64 is rounded to the nearest float32.
void read_tensor(const ZipFile& zip, const ZipEntry& record, const ArchiveTensor& tensor, std::span<float> out);

}  // namespace clip_es
