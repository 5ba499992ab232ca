// All of core/platform on Windows 10 and newer.
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#define PSAPI_VERSION 2  // GetProcessMemoryInfo() of kernel32, without psapi.dll
// windows.h must come first.
// clang-format off
#include <windows.h>
#include <psapi.h>
// clang-format on
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <thread>

#include "core/platform/arm64_features.h"
#include "core/platform/environment.h"
#include "core/platform/file.h"
#include "core/platform/library.h"
#include "core/platform/memory.h"
#include "core/platform/system_error.h"
#include "core/platform/threads.h"

namespace clip_es::platform {
namespace {

std::wstring to_wide(const std::string& text) {
  const int length = static_cast<int>(text.size());
  std::wstring out(static_cast<size_t>(MultiByteToWideChar(CP_UTF8, 0, text.data(), length, nullptr, 0)), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, text.data(), length, out.data(), static_cast<int>(out.size()));
  return out;
}

std::string to_utf8(const std::wstring& text) {
  const int length = static_cast<int>(text.size());
  std::string out(static_cast<size_t>(WideCharToMultiByte(CP_UTF8, 0, text.data(), length, nullptr, 0, nullptr, nullptr)), '\0');
  WideCharToMultiByte(CP_UTF8, 0, text.data(), length, out.data(), static_cast<int>(out.size()), nullptr, nullptr);
  return out;
}

// An absolute path. Windows refuses paths of 260 characters and more, except those with this prefix.
std::wstring to_path(const std::string& text) {
  const std::wstring path = to_wide(text);
  std::wstring absolute(32768, L'\0');
  absolute.resize(GetFullPathNameW(path.c_str(), static_cast<DWORD>(absolute.size()), absolute.data(), nullptr));
  if (absolute.empty()) return path;  // Windows cannot use it as a path; the call that opens it says why
  return absolute.size() >= MAX_PATH && absolute[1] == L':' ? L"\\\\?\\" + absolute : absolute;
}

// The common reasons are the same sentences as on other systems, so that documents and tests are the same.
std::string reason_of(DWORD error) {
  switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME: return "No such file or directory";
    case ERROR_ACCESS_DENIED: return "Permission denied";
    case ERROR_TOO_MANY_OPEN_FILES: return "Too many open files";
    case ERROR_NOT_ENOUGH_MEMORY: return "Cannot allocate memory";
  }
  wchar_t text[256];
  const DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
  const DWORD length = FormatMessageW(flags, nullptr, error, 0, text, static_cast<DWORD>(std::size(text)), nullptr);
  std::string reason = to_utf8(std::wstring(text, length));
  reason.resize(reason.find_last_not_of(" .\r\n") + 1);
  return reason.empty() ? "error " + std::to_string(error) + " of Windows" : reason;
}

[[noreturn]] void throw_last_error() { throw SystemError(reason_of(GetLastError())); }

HANDLE to_handle(intptr_t handle) { return reinterpret_cast<HANDLE>(handle); }

HMODULE own_module(DWORD flags) {
  HMODULE module = nullptr;
  GetModuleHandleExW(flags | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, reinterpret_cast<LPCWSTR>(&own_folder), &module);
  return module;
}

}  // namespace

// FILE_FLAG_BACKUP_SEMANTICS allows folders, so that callers can say that the path is one.
File::File(const std::string& path)
    : handle_(reinterpret_cast<intptr_t>(CreateFileW(to_path(path).c_str(), GENERIC_READ,
                                                     FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                                                     FILE_FLAG_BACKUP_SEMANTICS, nullptr))) {
  if (to_handle(handle_) == INVALID_HANDLE_VALUE) throw_last_error();
  BY_HANDLE_FILE_INFORMATION info;
  if (GetFileType(to_handle(handle_)) != FILE_TYPE_DISK || !GetFileInformationByHandle(to_handle(handle_), &info)) return;
  kind_ = info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? FileKind::kFolder : FileKind::kRegular;
  size_ = (uint64_t{info.nFileSizeHigh} << 32) + info.nFileSizeLow;
}

File::~File() { CloseHandle(to_handle(handle_)); }

size_t File::read(uint64_t offset, std::span<std::byte> out) const {
  OVERLAPPED at{};
  at.Offset = static_cast<DWORD>(offset);
  at.OffsetHigh = static_cast<DWORD>(offset >> 32);
  DWORD count = 0;
  const auto wanted = static_cast<DWORD>(std::min<size_t>(out.size(), size_t{1} << 30));
  if (!ReadFile(to_handle(handle_), out.data(), wanted, &count, &at) && GetLastError() != ERROR_HANDLE_EOF) throw_last_error();
  return count;
}

MappedFile::MappedFile(const File& file) {
  if (file.size() == 0) return;  // Windows refuses to map an empty file
  const HANDLE mapping = CreateFileMappingW(to_handle(file.handle_), nullptr, PAGE_READONLY, 0, 0, nullptr);
  if (!mapping) throw_last_error();
  const void* p = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
  const DWORD error = GetLastError();
  CloseHandle(mapping);  // the view keeps the mapping alive
  if (!p) throw SystemError(reason_of(error));
  bytes_ = {static_cast<const std::byte*>(p), static_cast<size_t>(file.size())};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) UnmapViewOfFile(bytes_.data());
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  static std::atomic<unsigned> count = 0;
  const std::wstring target = to_path(path);
  const std::wstring temporary = target + L"." + std::to_wstring(GetCurrentProcessId()) + L"-" + std::to_wstring(count++) + L".tmp";
  const HANDLE file = CreateFileW(temporary.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) throw_last_error();
  bool good = true;
  for (auto part : parts)
    while (good && !part.empty()) {
      DWORD written = 0;
      good = WriteFile(file, part.data(), static_cast<DWORD>(std::min<size_t>(part.size(), size_t{1} << 30)), &written, nullptr);
      part = part.subspan(written);
    }
  good = good && FlushFileBuffers(file);
  DWORD error = GetLastError();
  CloseHandle(file);
  if (good && MoveFileExW(temporary.c_str(), target.c_str(), MOVEFILE_REPLACE_EXISTING)) return;
  if (good) error = GetLastError();
  DeleteFileW(temporary.c_str());
  throw SystemError(reason_of(error));
}

bool exists(const std::string& path) { return GetFileAttributesW(to_path(path).c_str()) != INVALID_FILE_ATTRIBUTES; }

std::string library_file_name(const std::string& name) { return name + ".dll"; }

// LOAD_WITH_ALTERED_SEARCH_PATH finds the libraries that it needs in its own folder.
void* open_library(const std::string& path) {
  const HMODULE library = LoadLibraryExW(to_path(path).c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
  if (!library) throw_last_error();
  return reinterpret_cast<void*>(library);
}

void* find_symbol(void* library, const char* name) { return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name)); }

std::string own_folder() {
  std::wstring file(32768, L'\0');
  const HMODULE module = own_module(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT);
  file.resize(GetModuleFileNameW(module, file.data(), static_cast<DWORD>(file.size())));
  const size_t slash = file.find_last_of(L"\\/");
  return slash == file.npos ? "." : to_utf8(file.substr(0, slash));
}

void stay_loaded() { own_module(GET_MODULE_HANDLE_EX_FLAG_PIN); }

size_t memory_limit() {
  MEMORYSTATUSEX machine{};
  machine.dwLength = sizeof machine;
  size_t bytes = std::numeric_limits<size_t>::max();
  if (GlobalMemoryStatusEx(&machine)) bytes = machine.ullTotalPhys;
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION job{};  // a container of Windows is a job object
  if (!QueryInformationJobObject(nullptr, JobObjectExtendedLimitInformation, &job, sizeof job, nullptr)) return bytes;
  if (job.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_JOB_MEMORY) bytes = std::min<size_t>(bytes, job.JobMemoryLimit);
  if (job.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_PROCESS_MEMORY) bytes = std::min<size_t>(bytes, job.ProcessMemoryLimit);
  return bytes;
}

size_t resident_bytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  return GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters) ? counters.WorkingSetSize : 0;
}

void advise_huge_pages(void*, size_t) {}  // needs a right that users do not have by default

void return_freed_memory() { _heapmin(); }

int usable_cores() {
  DWORD_PTR own = 0, all = 0;
  // Both masks are 0 if the process has threads in several groups of 64 cores.
  if (GetProcessAffinityMask(GetCurrentProcess(), &own, &all) && own != 0) return std::popcount(static_cast<uint64_t>(own));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

bool lower_thread_priority() { return SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_BELOW_NORMAL); }

std::string environment_variable(const char* name) {
  const std::wstring wide = to_wide(name);
  std::wstring value(GetEnvironmentVariableW(wide.c_str(), nullptr, 0), L'\0');
  if (!value.empty()) value.resize(GetEnvironmentVariableW(wide.c_str(), value.data(), static_cast<DWORD>(value.size())));
  return to_utf8(value);
}

Arm64Features arm64_features() {
  // PF_ARM_…_INSTRUCTIONS_AVAILABLE of winnt.h, whose older versions lack some. With dot products a CPU has all of Armv8.2 that compilers
  // use, but CRC32 and atomics are cheap to check.
  constexpr DWORD kCrc32 = 31, kAtomics = 34, kDotProducts = 43, kI8mm = 66, kBf16 = 68;
  const auto has = [](DWORD feature) { return IsProcessorFeaturePresent(feature) != 0; };
  return {has(kCrc32) && has(kAtomics) && has(kDotProducts), has(kBf16), has(kI8mm)};
}

}  // namespace clip_es::platform
