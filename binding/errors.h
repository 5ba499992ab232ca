// Failures of jobs. JavaScript gets each as an Error with a code.
#pragma once
#include <exception>
#include <optional>
#include <string>

namespace clip_es::binding {

struct Failure {
  std::string code, message;

  static Failure cancelled();  // TypeScript replaces it by signal.reason
  static Failure stopped();    // the queue was stopped before the job ended
};

// Converts the exception that is being handled. Call it inside a catch block.
Failure current_failure();

// Returns nothing for a null pointer.
std::optional<Failure> to_failure(const std::exception_ptr&);

}  // namespace clip_es::binding
