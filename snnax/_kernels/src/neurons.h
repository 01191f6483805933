// Arrays of neurons over time, and a loop over them in blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "parallel.h"

namespace snnax {

enum Reset : int64_t { kNone = 0, kToValue = 1, kSubtract = 2, kDelayed = 3 };

constexpr int64_t kColumns = 1024;  // neurons of a task: their states stay in the cache

using Steps = xla::ffi::Buffer<xla::ffi::F32, 3>;   // (examples, time, neurons)
using Values = xla::ffi::Buffer<xla::ffi::F32, 2>;  // (examples or 1, neurons)

// What differs from step to step, or not: then it has a stride of 0.
struct Coefficient {
  const float* first;
  int64_t stride;
};

// Calls work(example, first neuron, number of neurons) for all neurons of all examples.
template <typename F>
void for_neurons(xla::ffi::ThreadPool& pool, const Steps& like, const F& work) {
  const int64_t n = like.dimensions()[2], blocks = (n + kColumns - 1) / kColumns;
  for_each(pool, like.dimensions()[0] * blocks, [&](int64_t task) {
    const int64_t first = task % blocks * kColumns;
    work(task / blocks, first, std::min(kColumns, n - first));
  });
}

template <typename Buffer>
auto of_example(const Buffer& values, int64_t example, int64_t first) {
  const int64_t n = values.dimensions()[1];
  return values.typed_data() + (values.dimensions()[0] == 1 ? 0 : example * n) + first;
}

// Of an array (examples or 1, time or 1, neurons).
inline Coefficient coefficient(const Steps& values, int64_t example, int64_t first) {
  const int64_t steps = values.dimensions()[1], n = values.dimensions()[2];
  return {values.typed_data() + (values.dimensions()[0] == 1 ? 0 : example * steps * n) + first, steps == 1 ? 0 : n};
}

}  // namespace snnax
