// bcryptprimitives.dll, which Windows has and Wine 8 lacks. sharp's libvips needs its only function, random bytes.
#include <stddef.h>

__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *bytes, unsigned long count);  // of advapi32: RtlGenRandom

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *bytes, size_t count) {
  return SystemFunction036(bytes, (unsigned long)count);
}

int __stdcall _DllMainCRTStartup(void *library, unsigned long reason, void *reserved) {
  (void)library, (void)reason, (void)reserved;
  return 1;
}
