// Dynamic libraries. Paths are UTF-8 on every system. A library that was opened stays loaded until the process ends.
#pragma once
#include <string>

namespace clip_es::platform {

// The file name of a library: "torch_cpu" is libtorch_cpu.so on Linux, libtorch_cpu.dylib on macOS and torch_cpu.dll on Windows.
std::string library_file_name(const std::string& name);

// Its symbols stay invisible to other libraries. Throws SystemError with the system's reason.
void* open_library(const std::string& path);

void* find_symbol(void* library, const char* name);  // nullptr if the library has no such symbol

// The folder of the program or library that contains this code.
std::string own_folder();

// Keeps the program or library that contains this code loaded until the process ends, even if whoever opened it closes it.
void stay_loaded();

}  // namespace clip_es::platform
