// Failures of jobs, as JavaScript will see them: an Error with a code.
#pragma once
#include <exception>
#include <optional>
#include <string>

namespace clip_es::binding {

struct Failure {
  std::string code, message;

  static Failure cancelled();  // TypeScript replaces it by signal.reason
  static Failure stopped();    // of a job that its queue cannot run any more
};

// The failure that the exception in flight stands for. Call it inside a catch block.
Failure current_failure();

// Nothing for a null pointer.
std::optional<Failure> to_failure(const std::exception_ptr&);

}  // namespace clip_es::binding
