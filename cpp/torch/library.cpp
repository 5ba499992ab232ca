#include "torch/library.h"

#include <atomic>
#include <mutex>

#include "core/error.h"
#include "core/platform/file.h"
#include "core/platform/library.h"
#include "core/platform/system_error.h"
#include "torch/c_functions.h"

namespace clip_es::torch {
namespace {

constexpr int kOldestMajor = 2, kOldestMinor = 11;
constexpr const char* kRemedy = "; set CLIP_ES_LIBTORCH to LibTorch 2.11 or newer, or run: npx clip-es setup --cuda";

std::mutex loading;
std::string loaded;                   // the folder
std::atomic<void*> handle = nullptr;  // not null once every function has been found
void (*omp_set_num_threads)(int) = nullptr;

// An official archive and the torch folder of a wheel keep their libraries in lib/; a folder of libraries is accepted, too.
std::string library_file(const std::string& folder) {
  const std::string name = platform::library_file_name("torch_cpu");
  for (const char* below : {"/lib/", "/"})
    if (std::string file = folder + below + name; platform::exists(file)) return file;
  throw Error(ErrorCode::kLibTorch, "there is no LibTorch at " + folder + ": it contains neither lib/" + name + " nor " + name + kRemedy);
}

void* open(const std::string& file, const std::string& folder) try {
  return platform::open_library(file);
} catch (const platform::SystemError& error) {
  throw Error(ErrorCode::kLibTorch, "the LibTorch at " + folder + " does not load (" + error.what() + ")" + kRemedy);
}

void fill_table(void* library, const std::string& folder) {
  std::string missing;
  int count = 0;
  auto find = [&](const char* name) {
    void* function = platform::find_symbol(library, name);
    if (!function && count++ < 3) missing += missing.empty() ? name : std::string(", ") + name;
    return function;
  };
#define X(name, ...) name = reinterpret_cast<decltype(name)>(find(#name));
  CLIP_ES_TORCH_FUNCTIONS(X)
#undef X
  if (count)
    throw Error(ErrorCode::kLibTorch, "the LibTorch at " + folder + " lacks " + std::to_string(count) + " functions (" + missing +
                                          (count > 3 ? ", …" : "") + "): it is older than 2.11" + kRemedy);
#define X(name, ...) name = reinterpret_cast<decltype(name)>(platform::find_symbol(library, #name));
  CLIP_ES_TORCH_OPTIONAL_FUNCTIONS(X)
#undef X
}

int major() { return static_cast<int>(aoti_torch_abi_version() >> 56); }
int minor() { return static_cast<int>(aoti_torch_abi_version() >> 48 & 255); }

}  // namespace

void load_library(const std::string& folder) {
  std::lock_guard lock(loading);
  if (folder == loaded) return;
  if (!loaded.empty())
    throw Error(ErrorCode::kLibTorch, "this process already uses the LibTorch at " + loaded + ", so " + folder +
                                          " cannot be loaded, too; use one LibTorch in a process");
  const std::string file = library_file(folder);
  void* library = open(file, folder);
  fill_table(library, folder);
  if (major() != kOldestMajor || minor() < kOldestMinor)
    throw Error(ErrorCode::kLibTorch, "LibTorch " + version() + " at " + folder + " is too old" + kRemedy);
  omp_set_num_threads = reinterpret_cast<void (*)(int)>(platform::find_symbol(library, "omp_set_num_threads"));
  loaded = folder;
  handle = library;
}

bool try_load_library(const std::string& folder) {
  try {
    load_library(folder);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_loaded() { return handle != nullptr; }

void* library_handle() { return handle; }
std::string loaded_folder() { return loaded; }

std::string sibling_library(const std::string& name) {
  const std::string file = library_file(loaded);
  const std::string sibling = file.substr(0, file.rfind('/') + 1) + platform::library_file_name(name);
  return platform::exists(sibling) ? sibling : "";
}

std::string version() { return std::to_string(major()) + "." + std::to_string(minor()); }

void use_one_thread() {
  if (!is_loaded()) return;
  if (omp_set_num_threads) omp_set_num_threads(1);
  aoti_torch_grad_mode_set_enabled(false);  // of the calling thread
}

}  // namespace clip_es::torch
