// Images, and the shapes of their convolutions.
//
// Images and outputs are (channels, height, width), weights (out, channels, height, width). While an image is worked on
// it is padded and its channels are last: one row of a window is then contiguous, and so are the outputs of a place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "transpose.h"

namespace snnax {
namespace {

struct Shape {
  int64_t channels, height, width, kernel_height, kernel_width, down, right, top, left, out_height, out_width, out;

  int64_t plane() const { return height * width; }
  int64_t size() const { return channels * plane(); }
  int64_t kernel() const { return kernel_height * kernel_width; }
  int64_t places() const { return out_height * out_width; }
  int64_t out_size() const { return places() * out; }
  int64_t row() const { return kernel_width * channels; }  // of a window
  // As far as windows reach.
  int64_t padded_height() const { return (out_height - 1) * down + kernel_height; }
  int64_t padded_width() const { return (out_width - 1) * right + kernel_width; }
  int64_t padded_row() const { return padded_width() * channels; }
  int64_t padded_size() const { return padded_height() * padded_row(); }
};

// Zeros, the first of which begins a line of the cache.
class Zeros {
 public:
  explicit Zeros(int64_t size) : lines_((size + 15) / 16) {}
  float* data() { return reinterpret_cast<float*>(lines_.data()); }
  float& operator[](int64_t i) { return data()[i]; }

 private:
  struct alignas(64) Line {
    float of[16];
  };
  std::vector<Line> lines_;
};

// Calls f(offset in the image, offset in the padded image, length) for what is contiguous along the width in both.
template <typename F>
inline void for_rows(const Shape& s, const F& f) {
  const int64_t height = std::min(s.height, s.padded_height() - s.top);
  const int64_t width = std::min(s.width, s.padded_width() - s.left);
  if (height <= 0 || width <= 0) return;
  if (width == s.width && width == s.padded_width()) return f(0, s.top * s.padded_row(), height * width);
  for (int64_t y = 0; y < height; ++y) f(y * s.width, (y + s.top) * s.padded_row() + s.left * s.channels, width);
}

// Writes an image into a padded one, whose padding is left as it is.
inline void pad(const float* image, const Shape& s, float* padded) {
  for_rows(s, [&](int64_t from, int64_t to, int64_t length) {
    transpose(image + from, s.plane(), s.channels, length, padded + to, s.channels);
  });
}

// Writes what windows reach of an image.
inline void crop(const float* padded, const Shape& s, float* image) {
  for_rows(s, [&](int64_t to, int64_t from, int64_t length) {
    transpose(padded + from, s.channels, length, s.channels, image + to, s.plane());
  });
}

// Calls f(i, j, c, weight) for the weights of one output.
template <typename Weights, typename F>
inline void for_weights(const Shape& s, Weights* w, int64_t out, const F& f) {
  w += out * s.channels * s.kernel();
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t i = 0; i < s.kernel_height; ++i) {
      for (int64_t j = 0; j < s.kernel_width; ++j) f(i, j, c, *w++);
    }
  }
}

}  // namespace
}  // namespace snnax
