// Whether an exception of LibTorch means that memory ran out.
#pragma once
#include <exception>

namespace clip_es::train {

bool is_out_of_memory(const std::exception& error);

}  // namespace clip_es::train
