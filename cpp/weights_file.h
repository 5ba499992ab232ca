// A file with the packed weights of a model for the CPU. Loading maps it, so it is quick, and processes that use the same file share its
// memory. The weights are as the CPU level of this process needs them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/precision.h"
#include "loaded_model.h"

namespace clip_es {

// The name says the archive, the precision and the CPU level, so that a folder can hold the files of several.
std::string weights_file_name(uint64_t fingerprint, Precision);

// Writes the file as platform::write_file() does. Throws platform::SystemError. Writes nothing if the weights are in a format of LibTorch.
void write_weights_file(const std::string& path, uint64_t fingerprint, Precision, const LoadedModel&);

// Returns null if there is no file, or one of another format, archive, precision or CPU level, or one that is damaged in its description or
// length. The weights themselves are not checked, because that would read the whole file: only trusted users may write to its folder.
// Throws platform::SystemError if the file exists but cannot be read.
std::shared_ptr<const LoadedModel> read_weights_file(const std::string& path, uint64_t fingerprint, Precision);

}  // namespace clip_es
