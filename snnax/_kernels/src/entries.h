// The entries of an array that are not zero.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "parallel.h"

namespace snnax {
namespace {

struct Entry {
  int32_t place;
  float value;
};

constexpr int64_t kSpan = 16;  // entries that are looked at together

// Whether any of `count` numbers is neither 0 nor -0.
inline bool any(const float* x, int64_t count) {
  uint32_t bits = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t one;
    std::memcpy(&one, x + i, sizeof one);
    bits |= one << 1;
  }
  return bits != 0;
}

// Writes them to `found`, which has room for one more than n, and returns how many there are.
SNNAX_EACH_TARGET int64_t entries_of(const float* x, int64_t n, Entry* found) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < n; begin += kSpan) {
    const int64_t end = std::min(begin + kSpan, n);
    if (end - begin == kSpan ? !any(x + begin, kSpan) : !any(x + begin, end - begin)) continue;
    for (int64_t i = begin; i < end; ++i) {
      found[count] = {static_cast<int32_t>(i), x[i]};
      count += x[i] != 0.0f;
    }
  }
  return count;
}

SNNAX_EACH_TARGET int64_t count_of(const float* x, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += x[i] != 0.0f;
  return count;
}

}  // namespace
}  // namespace snnax
