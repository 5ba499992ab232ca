#include "out_of_memory.h"

#include <torch/torch.h>

#include <new>
#include <string_view>

namespace clip_es::train {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  return std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos;  // LibTorch's allocator for the CPU
}

}  // namespace clip_es::train
