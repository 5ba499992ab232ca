// CPU cores and threads.
#pragma once

namespace clip_es::platform {

// The number of cores that this process may use, at least 1. Obeys the process's affinity and, on Linux, the CPU limit of its container: a
// limit of 1.5 cores counts as 2.
int usable_cores();

// Other threads of this process and other programs come before the calling thread from now on. A second call on a thread has no effect.
// Returns false if the system refuses.
bool lower_thread_priority();

}  // namespace clip_es::platform
