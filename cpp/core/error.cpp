#include "core/error.h"

namespace clip_es {

const char* name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArg: return "ERR_INVALID_ARG";
    case ErrorCode::kModelRead: return "ERR_MODEL_READ";
    case ErrorCode::kModelFormat: return "ERR_MODEL_FORMAT";
    case ErrorCode::kLibTorch: return "ERR_LIBTORCH";
    case ErrorCode::kDeviceUnavailable: return "ERR_DEVICE_UNAVAILABLE";
    case ErrorCode::kOutOfMemory: return "ERR_OUT_OF_MEMORY";
    case ErrorCode::kIo: return "ERR_IO";
    case ErrorCode::kDiverged: return "ERR_DIVERGED";
    case ErrorCode::kInternal: break;
  }
  return "ERR_INTERNAL";
}

}  // namespace clip_es
