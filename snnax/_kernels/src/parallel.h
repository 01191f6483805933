// A loop over the threads that XLA has, which keep to the processors that the process may run on.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace snnax {

// Calls f(0), ..., f(count - 1), each once, in any order and on any thread; returns when all are done. The caller works
// too, so that the loop ends whatever else the pool has to do.
template <typename F>
void for_each(xla::ffi::ThreadPool& pool, int64_t count, const F& f) {
  if (count <= 1 || pool.num_threads() <= 1) {
    for (int64_t i = 0; i < count; ++i) f(i);
    return;
  }
  struct Loop {
    std::atomic<int64_t> next{0};
    int64_t left;  // guarded by mutex
    std::mutex mutex;
    std::condition_variable done;
  };
  auto loop = std::make_shared<Loop>();
  loop->left = count;
  // Helpers that begin after the last call has been taken touch nothing but the shared loop.
  auto work = [loop, count, &f] {
    int64_t finished = 0;
    for (int64_t i = loop->next++; i < count; i = loop->next++, ++finished) f(i);
    if (finished == 0) return;
    std::lock_guard<std::mutex> lock(loop->mutex);
    if ((loop->left -= finished) == 0) loop->done.notify_all();
  };
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([work] { work(); });
  work();
  std::unique_lock<std::mutex> lock(loop->mutex);
  loop->done.wait(lock, [&] { return loop->left == 0; });
}

}  // namespace snnax

// Compiled for several generations of processors, of which the one at hand is chosen when the library is loaded.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(SNNAX_ONE_TARGET)
#define SNNAX_EACH_TARGET __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SNNAX_EACH_TARGET
#endif
