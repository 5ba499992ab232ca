// The errors that the engine throws: a code for programs, and a sentence for people with the value, what was expected and the remedy.
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
  kIo,        // a file or folder could not be read or written; only the training program throws it
  kDiverged,  // the loss of a training run is not a number; only the training program throws it
  kInternal,  // a bug in the engine: a state that its code should make impossible
};

// The code as users see it, for example "ERR_MODEL_READ".
const char* name_of(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
  ErrorCode code;
};

// Thrown by HostContext::checkpoint() after the caller has cancelled the job. It is not an Error because nothing failed.
struct Cancelled {};

}  // namespace clip_es
