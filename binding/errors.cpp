#include "errors.h"

#include <new>

#include "core/error.h"

namespace clip_es::binding {
namespace {

Failure internal_error(const std::string& what) {
  return {name_of(ErrorCode::kInternal),
          "This is a bug in clip-es: " + what + "; please report it with this message and the call that failed"};
}

}  // namespace

Failure Failure::cancelled() { return {"CANCELLED", "The job was cancelled"}; }

Failure Failure::stopped() {
  return {"ERR_CLOSED", "the job cannot run: its segmenter was closed, or the process or worker thread is exiting"};
}

Failure current_failure() {
  try {
    throw;
  } catch (const Cancelled&) {
    return Failure::cancelled();
  } catch (const Error& error) {
    return {name_of(error.code), error.what()};
  } catch (const std::bad_alloc&) {
    return {name_of(ErrorCode::kOutOfMemory), "memory ran out: a smaller maxSide, fewer labels or fewer segmenters need less"};
  } catch (const std::exception& error) {
    return internal_error(error.what());
  } catch (...) {
    return internal_error("an exception of an unknown type was thrown");
  }
}

std::optional<Failure> to_failure(const std::exception_ptr& exception) {
  if (!exception) return std::nullopt;
  try {
    std::rethrow_exception(exception);
  } catch (...) {
    return current_failure();
  }
}

}  // namespace clip_es::binding
