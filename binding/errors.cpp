#include "errors.h"

#include <new>

#include "core/error.h"

namespace clip_es::binding {

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
    return {name_of(ErrorCode::kLibTorch), std::string("unexpected failure: ") + error.what()};
  }
}

Napi::Value to_js(Napi::Env env, const Failure& failure) {
  const Napi::Error error = Napi::Error::New(env, failure.message);
  error.Value().Set("code", failure.code);
  return error.Value();
}

}  // namespace clip_es::binding
