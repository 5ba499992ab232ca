// What the functions of this folder throw.
#pragma once
#include <stdexcept>

namespace clip_es::platform {

// what() is the system's reason only, for example "No such file or directory". Callers add the path and the remedy.
struct SystemError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace clip_es::platform
