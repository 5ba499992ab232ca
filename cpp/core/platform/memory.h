// The memory of the machine and of this process, in bytes.
#pragma once
#include <cstddef>

namespace clip_es::platform {

// The memory of the machine, or the limit of this process's container if that is lower. Most systems grant larger allocations, too, but end
// the process when it uses them.
size_t memory_limit();

// The physical memory that this process uses now, or 0 if the system does not tell.
size_t resident_bytes();

// Some large buffers are read in random order. With huge pages, one entry of the page table covers 2 MB, so fewer entries are missed in the
// CPU's cache of them. The system may ignore this advice.
void advise_huge_pages(void* p, size_t bytes);

// Returns memory to the system that the C library keeps for later allocations: on Linux 20 MB for each thread that has worked.
void return_freed_memory();

}  // namespace clip_es::platform
