// glibc's allocator gives large buffers back to the system, and takes them again with every page to be filled with zeros
// when it is touched. It can be told to keep them.

#include <climits>
#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

extern "C" int snnax_keep_buffers() {
#if defined(__GLIBC__)
  return mallopt(M_MMAP_MAX, 0) && mallopt(M_TRIM_THRESHOLD, INT_MAX) && mallopt(M_TOP_PAD, 256 << 20) &&
         mallopt(M_ARENA_MAX, 1);
#else
  return 0;
#endif
}
