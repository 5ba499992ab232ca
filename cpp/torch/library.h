// The user's LibTorch, which is optional: CUDA needs it, and CPUs with AMX use it. Its C functions are found with dlsym when it is loaded,
// so one binary serves every LibTorch from 2.11 on.
#pragma once
#include <string>

namespace clip_es::torch {

// Opens DIR/lib/libtorch_cpu.so (or DIR/libtorch_cpu.so) with RTLD_LOCAL and finds its functions. The first successful call
// decides for the process; later calls with the same folder do nothing. Libraries are never unloaded.
// Throws Error kLibTorch: not found, cannot be loaded, older than 2.11, or another folder than that of the first call.
void load_library(const std::string& folder);

// As load_library(), but returns false instead of throwing.
bool try_load_library(const std::string& folder);

bool is_loaded();

// All of these need a loaded LibTorch: the handle of libtorch_cpu.so, the folder it was loaded from, the path of another library in the
// same folder ("" if there is none), and the version, such as "2.13".
void* library_handle();
std::string loaded_folder();
std::string library_file_beside(const std::string& name);
std::string version();

// Limits LibTorch to one thread in the calling thread, because OpenMP counts threads for each calling thread. Every thread that calls
// LibTorch calls this once. Does nothing when no LibTorch is loaded.
void use_one_thread();

}  // namespace clip_es::torch
