// The transpose of a matrix.
#pragma once

#include <cstdint>

namespace snnax {
namespace {

typedef float Four __attribute__((vector_size(16), aligned(4)));  // loads and stores at any address

#ifdef __clang__
#define SNNAX_SHUFFLED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int FourPlaces __attribute__((vector_size(16)));
#define SNNAX_SHUFFLED(a, b, ...) __builtin_shuffle(a, b, (FourPlaces){__VA_ARGS__})
#endif

inline const Four* at(const float* x) { return reinterpret_cast<const Four*>(x); }
inline Four* at(float* x) { return reinterpret_cast<Four*>(x); }

inline void transpose_one_by_one(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                                 int64_t to_stride) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

// to[c * to_stride + r] = from[r * from_stride + c] for all rows r and columns c.
inline void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                      int64_t to_stride) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, from += 4 * from_stride, to += 4) {
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const float* f = from + c;
      const Four a = *at(f), b = *at(f + from_stride), d = *at(f + 2 * from_stride), e = *at(f + 3 * from_stride);
      const Four ab = SNNAX_SHUFFLED(a, b, 0, 4, 1, 5), ab2 = SNNAX_SHUFFLED(a, b, 2, 6, 3, 7);
      const Four de = SNNAX_SHUFFLED(d, e, 0, 4, 1, 5), de2 = SNNAX_SHUFFLED(d, e, 2, 6, 3, 7);
      float* t = to + c * to_stride;
      *at(t) = SNNAX_SHUFFLED(ab, de, 0, 1, 4, 5);
      *at(t + to_stride) = SNNAX_SHUFFLED(ab, de, 2, 3, 6, 7);
      *at(t + 2 * to_stride) = SNNAX_SHUFFLED(ab2, de2, 0, 1, 4, 5);
      *at(t + 3 * to_stride) = SNNAX_SHUFFLED(ab2, de2, 2, 3, 6, 7);
    }
    transpose_one_by_one(from + c, from_stride, 4, columns - c, to + c * to_stride, to_stride);
  }
  transpose_one_by_one(from, from_stride, rows - r, columns, to, to_stride);
}

}  // namespace
}  // namespace snnax
