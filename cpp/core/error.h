// Every failure the engine reports: a code that programs test and a sentence with the value and the remedy.
#pragma once
#include <stdexcept>
#include <string>

namespace clip_es {

enum class ErrorCode {
  kInvalidArg,
  kModelRead,
  kModelFormat,
  kLibTorch,
  kDeviceUnavailable,
  kOutOfMemory,
};

// The code as users see it, for example "ERR_MODEL_READ".
const char* name_of(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
  ErrorCode code;
};

// Thrown at a checkpoint once the caller has asked for the work to stop. Not an Error: nothing went wrong.
struct Cancelled {};

}  // namespace clip_es
