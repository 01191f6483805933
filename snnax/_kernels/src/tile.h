// The innermost loop of all that is dense: a product of matrices whose sums are held in registers.
#pragma once

#include <cstdint>
#include <cstring>

namespace snnax {
namespace {

constexpr int64_t kPanel = 32;  // columns that are multiplied together: the right factor has as many, some unused

// Two factors. Entry r of row x of the left one is left[row[x] + place[r]], and of the right one right[r * stride + c].
struct Factors {
  const float* left;
  const int64_t* row;
  const int64_t* place;
  int64_t n;  // how many entries there are in a row
  const float* right;
  int64_t stride;
};

template <int lanes>
struct Vector {
  typedef float type __attribute__((vector_size(4 * lanes), aligned(4)));  // loads and stores at any address
};

// to[at[x] + c] += the product of row x and column c, for X rows and the first `columns` columns of two vectors. The
// rows are written one after the other, and may overlap there.
template <int lanes, int X>
__attribute__((always_inline)) inline void tile(const Factors& f, float* to, const int64_t* at, int64_t columns) {
  typedef typename Vector<lanes>::type Lanes;
  Lanes first[X] = {}, second[X] = {};
  const float* rows[X];
  for (int x = 0; x < X; ++x) rows[x] = f.left + f.row[x];
  const float* right = f.right;
  const int64_t *place = f.place, n = f.n, stride = f.stride;
  for (int64_t r = 0; r < n; ++r, right += stride) {
    const Lanes one = *reinterpret_cast<const Lanes*>(right), two = *reinterpret_cast<const Lanes*>(right + lanes);
#pragma GCC unroll 8
    for (int x = 0; x < X; ++x) {
      const float value = rows[x][place[r]];
      first[x] += value * one;
      second[x] += value * two;
    }
  }
#pragma GCC unroll 8
  for (int x = 0; x < X; ++x) {
    float* out = to + at[x];
    if (columns >= 2 * lanes) {
      *reinterpret_cast<Lanes*>(out) += first[x];
      *reinterpret_cast<Lanes*>(out + lanes) += second[x];
    } else {
      float sums[2 * lanes];
      std::memcpy(sums, &first[x], sizeof first[x]);
      std::memcpy(sums + lanes, &second[x], sizeof second[x]);
      for (int64_t c = 0; c < columns; ++c) out[c] += sums[c];
    }
  }
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(SNNAX_ONE_TARGET)
#define SNNAX_GENERATIONS
#define SNNAX_TARGET(features) __attribute__((target(features)))
#else
#define SNNAX_TARGET(features)
#endif

// Compilers do not break vectors that are too wide for a processor into registers well: each width has its own.
template <int X>
SNNAX_TARGET("avx512f,fma") void tile_of_16(const Factors& f, float* to, const int64_t* at, int64_t columns) {
  tile<16, X>(f, to, at, columns);
}

template <int X>
SNNAX_TARGET("avx2,fma") void tile_of_8(const Factors& f, float* to, const int64_t* at, int64_t columns) {
  tile<8, X>(f, to, at, columns);
}

template <int X>
void tile_of_4(const Factors& f, float* to, const int64_t* at, int64_t columns) {
  tile<4, X>(f, to, at, columns);
}

struct Tiles {
  int64_t columns, rows;  // of the largest tile, whose sums fit into the registers
  void (*of[8])(const Factors&, float*, const int64_t*, int64_t);  // by the number of rows less one
};

#define SNNAX_TILES(tile) {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>, tile<7>, tile<8>}
[[maybe_unused]] const Tiles kTilesOf16 = {32, 8, SNNAX_TILES(tile_of_16)};
[[maybe_unused]] const Tiles kTilesOf8 = {16, 6, SNNAX_TILES(tile_of_8)};
const Tiles kTilesOf4 = {8, 6, SNNAX_TILES(tile_of_4)};

// Those for the processor at hand.
inline const Tiles& tiles() {
#ifdef SNNAX_GENERATIONS
  static const bool fma = __builtin_cpu_supports("fma");
  static const bool wide = fma && __builtin_cpu_supports("avx512f"), narrow = fma && __builtin_cpu_supports("avx2");
  return wide ? kTilesOf16 : narrow ? kTilesOf8 : kTilesOf4;
#else
  return kTilesOf4;
#endif
}

// The product of any number of rows, in tiles of nearly equal size, and at most `kPanel` columns.
inline void multiply(const Tiles& by, const Factors& all, int64_t rows, float* to, const int64_t* at, int64_t columns) {
  const int64_t count = (rows + by.rows - 1) / by.rows;
  for (int64_t c = 0; c < columns; c += by.columns) {
    Factors f = all;
    f.right += c;
    for (int64_t t = 0, begin = 0; t < count; ++t) {
      const int64_t end = rows * (t + 1) / count;
      f.row = all.row + begin;
      by.of[end - begin - 1](f, to + c, at + begin, columns - c);
      begin = end;
    }
  }
}

}  // namespace
}  // namespace snnax
