// Convolutions of images that are mostly zeros, entry by entry.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "entries.h"
#include "images.h"
#include "parallel.h"

namespace snnax {
namespace {

// The order of the columns of the kernel in which those of one entry and one row of the output are neighbours: by the
// remainder of the stride, and for each from the last to the first.
struct Columns {
  std::vector<int64_t> first, count;  // by remainder: the place of the first in this order, and how many there are

  explicit Columns(const Shape& s) : first(s.right), count(s.right) {
    for (int64_t remainder = 0, begin = 0; remainder < s.right; ++remainder) {
      first[remainder] = begin;
      count[remainder] = remainder < s.kernel_width ? (s.kernel_width - 1 - remainder) / s.right + 1 : 0;
      begin += count[remainder];
    }
  }

  // The place of column `remainder + right * number`.
  int64_t place(int64_t remainder, int64_t number) const { return first[remainder] + count[remainder] - 1 - number; }
};

// Writes the weights of one output in this order: (channels, kernel height, kernel width, out).
void order(const float* w, int64_t o, const Shape& s, const Columns& columns, float* ordered) {
  for_weights(s, w, o, [&](int64_t i, int64_t j, int64_t c, float weight) {
    const int64_t place = columns.place(j % s.right, j / s.right);
    ordered[((c * s.kernel_height + i) * s.kernel_width + place) * s.out + o] = weight;
  });
}

// to[c] += value * from[c], c < n, in several rows.
SNNAX_EACH_TARGET void add(float value, const float* from, int64_t from_stride, int64_t rows, int64_t n, float* to,
                           int64_t to_stride) {
  typedef float Sixteen __attribute__((vector_size(64), aligned(4)));
  for (int64_t i = 0; i < rows; ++i, from += from_stride, to += to_stride) {
    int64_t c = 0;
    for (; c + 64 <= n; c += 64) {
      const Sixteen* one = reinterpret_cast<const Sixteen*>(from + c);
      Sixteen* other = reinterpret_cast<Sixteen*>(to + c);
      const Sixteen a = other[0] + value * one[0], b = other[1] + value * one[1];
      const Sixteen d = other[2] + value * one[2], e = other[3] + value * one[3];
      other[0] = a, other[1] = b, other[2] = d, other[3] = e;
    }
    for (; c + 16 <= n; c += 16) {
      *reinterpret_cast<Sixteen*>(to + c) += value * *reinterpret_cast<const Sixteen*>(from + c);
    }
    for (; c < n; ++c) to[c] += value * from[c];
  }
}

// Calls visit(value, first place in the kernel, first place in the output, rows, places in each) for the windows of the
// entries of one channel. From row to row, the place in the kernel is `down` rows further, and that in the output a row
// before.
template <typename F>
inline void for_windows(const Shape& s, const Columns& columns, const float* channel, Entry* entries, const F& visit) {
  const int64_t count = entries_of(channel, s.plane(), entries);
  for (const Entry* entry = entries; entry < entries + count; ++entry) {
    const int64_t y = entry->place / s.width + s.top, x = entry->place % s.width + s.left;
    const int64_t low = std::max<int64_t>(y - (s.out_height - 1) * s.down, 0), first = low + (y - low) % s.down;
    const int64_t last = std::min(y, s.kernel_height - 1), remainder = x % s.right, number = x / s.right;
    const int64_t most = std::min(number, columns.count[remainder] - 1);
    const int64_t least = std::max<int64_t>(number - s.out_width + 1, 0);
    if (first > last || least > most) continue;
    visit(entry->value, first * s.kernel_width + columns.place(remainder, most),
          (y - first) / s.down * s.out_width + number - most, (last - first) / s.down + 1, most - least + 1);
  }
}

// out (places, out) += the convolution of an image with ordered weights.
void convolve_entries(const float* image, const float* w, const Shape& s, const Columns& columns, Entry* entries,
                      float* out) {
  for (int64_t c = 0; c < s.channels; ++c, image += s.plane(), w += s.kernel() * s.out) {
    for_windows(s, columns, image, entries, [&](float value, int64_t k, int64_t place, int64_t rows, int64_t n) {
      add(value, w + k * s.out, s.down * s.kernel_width * s.out, rows, n * s.out, out + place * s.out,
          -s.out_width * s.out);
    });
  }
}

// sums (kernel height, ordered columns, out) += the gradient of the weights of one channel, of which this is one image,
// by errors (places, out).
void weigh_entries(const float* channel, const float* errors, const Shape& s, const Columns& columns, Entry* entries,
                   float* sums) {
  for_windows(s, columns, channel, entries, [&](float value, int64_t k, int64_t place, int64_t rows, int64_t n) {
    add(value, errors + place * s.out, -s.out_width * s.out, rows, n * s.out, sums + k * s.out,
        s.down * s.kernel_width * s.out);
  });
}

}  // namespace
}  // namespace snnax
