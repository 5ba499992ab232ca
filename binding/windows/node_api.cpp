// Windows: the functions of Node-API, looked up in the program that loads the add-on.
//
// The usual import library names node.exe, and Windows would look for a file of that name. But an application's program has a name of its
// own: an Electron application is called after its product. So each function here is a jump to the address that is found at run time.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

namespace {

// nullptr for a function that this version of Node.js does not have; the add-on calls only functions of NAPI_VERSION.
void* find(const char* name) {
  static const HMODULE library = GetModuleHandleW(L"libnode.dll");  // a Node.js that is built as a library
  static const HMODULE host = library ? library : GetModuleHandleW(nullptr);
  return reinterpret_cast<void*>(GetProcAddress(host, name));
}

}  // namespace

// These are set when Windows loads the add-on, before Node.js calls it.
#define X(name)                       \
  extern "C" {                        \
  extern void* name##_address;        \
  void* name##_address = find(#name); \
  }                                   \
  __asm__(".text\n.globl " #name "\n" #name ":\n  jmpq *" #name "_address(%rip)\n");
#include "node_api_functions.inc"
