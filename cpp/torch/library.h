// The user's LibTorch, which is optional: CUDA needs it, and CPUs with AMX use it. Its C functions are found when it is loaded,
// so one binary serves every LibTorch from 2.11 on.
#pragma once
#include <string>

namespace clip_es::torch {

// Opens DIR/lib/libtorch_cpu.so (or DIR/libtorch_cpu.so) and finds its functions. Its symbols stay invisible to other libraries. The first
// successful call chooses the LibTorch of the process; later calls with the same folder do nothing.
// Throws Error kLibTorch if there is no LibTorch, if it cannot be loaded or is older than 2.11, or if another folder was loaded before.
void load_library(const std::string& folder);

// As load_library(), but returns false instead of throwing.
bool try_load_library(const std::string& folder);

bool is_loaded();

// The following functions need a loaded LibTorch.
void* library_handle();                                // of libtorch_cpu.so
std::string loaded_folder();                           // the argument of load_library()
std::string sibling_library(const std::string& name);  // the path of "torch_cuda", for example; "" if it is not next to libtorch_cpu.so
std::string version();                                 // for example "2.13"

// Limits LibTorch to one thread when the calling thread calls it. OpenMP stores this number for each calling thread, so every thread that
// calls LibTorch must call this once. Does nothing if no LibTorch is loaded.
void use_one_thread();

}  // namespace clip_es::torch
