// Environment variables.
#pragma once
#include <string>

namespace clip_es::platform {

// In UTF-8; "" if the variable is not set. On Windows, std::getenv() does not see what Node.js has changed, but this function does.
std::string environment_variable(const char* name);

}  // namespace clip_es::platform
