// The user's own LibTorch, reached through its stable C functions alone. They are found with dlsym when the engine starts, so
// one binary serves every LibTorch from 2.11 on.
#pragma once
#include <string>

namespace clip_es::torch {

// Opens DIR/lib/libtorch_cpu.so (or DIR/libtorch_cpu.so) with RTLD_LOCAL and fills the table of functions. The first call
// decides for the process; later calls with the same folder do nothing. Libraries are never unloaded.
// Throws Error kLibTorch: not found, not loadable, older than 2.11, or another folder than the first call's.
void load_library(const std::string& folder);

// What dlopen gave for libtorch_cpu.so, the folder it came from, and the path of another library beside it ("" when there is none), once
// load_library has succeeded.
void* library_handle();
std::string loaded_folder();
std::string library_file_beside(const std::string& name);

// "2.13", once load_library has succeeded.
std::string version();

// Keeps LibTorch's own thread pool out of the way: OpenMP counts threads for each calling thread, so every thread of ours
// that calls LibTorch says so once.
void use_one_thread();

}  // namespace clip_es::torch
