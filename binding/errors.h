// Errors of the engine as JavaScript sees them: an Error with a code.
#pragma once
#include <napi.h>

#include <string>

namespace clip_es::binding {

struct Failure {
  std::string code, message;
  static Failure cancelled() { return {"CANCELLED", "cancelled"}; }  // TypeScript puts signal.reason in its place
};

Failure current_failure();  // of the exception being handled
Napi::Value to_js(Napi::Env, const Failure&);

}  // namespace clip_es::binding
