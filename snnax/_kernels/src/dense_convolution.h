// Convolutions as products, one for each row of the kernel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "images.h"
#include "tile.h"

namespace snnax {
namespace {

constexpr int64_t kDepth = 64;  // products of a sum before it is put away: what they are made of stays in the cache

int64_t panels_of(int64_t columns) { return (columns + kPanel - 1) / kPanel; }

// Where the windows of all places begin in a padded image, where their outputs begin, and 0, 1, 2, ...
struct Places {
  std::vector<int64_t> windows, outputs, steps;

  explicit Places(const Shape& s) : windows(s.places()), outputs(s.places()), steps(std::max(kDepth, s.row())) {
    for (int64_t p = 0; p < s.places(); ++p) {
      windows[p] = p / s.out_width * s.down * s.padded_row() + p % s.out_width * s.right * s.channels;
      outputs[p] = p * s.out;
    }
    std::iota(steps.begin(), steps.end(), 0);
  }
};

int64_t packed_size(const Shape& s, bool to_windows) {
  return to_windows ? panels_of(s.row()) * s.kernel_height * s.out * kPanel
                    : panels_of(s.out) * s.kernel_height * s.row() * kPanel;
}

// Writes the weights of one output where products from windows to outputs want them: (panels of outputs, kernel height,
// row of a window, kPanel); or those from outputs to windows: (panels of rows of a window, kernel height, outputs,
// kPanel). What is left of the last panel is zeros.
void pack(const float* w, int64_t o, const Shape& s, bool to_windows, float* packed) {
  const int64_t rows = to_windows ? s.out : s.row();
  for_weights(s, w, o, [&](int64_t i, int64_t j, int64_t c, float weight) {
    const int64_t window = j * s.channels + c, column = to_windows ? window : o, row = to_windows ? o : window;
    packed[((column / kPanel * s.kernel_height + i) * rows + row) * kPanel + column % kPanel] = weight;
  });
}

// out (places, out) += the convolution of a padded image.
void convolve(const Tiles& by, const float* image, const float* w, const Shape& s, const Places& at, float* out) {
  for (int64_t c = 0; c < s.out; c += kPanel) {
    for (int64_t i = 0; i < s.kernel_height; ++i) {
      for (int64_t r = 0; r < s.row(); r += kDepth) {
        const int64_t n = std::min(kDepth, s.row() - r);
        const float* rows = image + i * s.padded_row() + r;
        const Factors f = {rows, at.windows.data(), at.steps.data(), n, w, kPanel};
        multiply(by, f, s.places(), out + c, at.outputs.data(), std::min(kPanel, s.out - c));
        w += n * kPanel;
      }
    }
  }
}

// image (padded) += what moves it, by what moves its outputs: errors (places, out).
void convolve_back(const Tiles& by, const float* errors, const float* w, const Shape& s, const Places& at,
                   float* image) {
  for (int64_t c = 0; c < s.row(); c += kPanel) {
    for (int64_t i = 0; i < s.kernel_height; ++i) {
      for (int64_t r = 0; r < s.out; r += kDepth) {
        const int64_t n = std::min(kDepth, s.out - r);
        const Factors f = {errors + r, at.outputs.data(), at.steps.data(), n, w, kPanel};
        multiply(by, f, s.places(), image + i * s.padded_row() + c, at.windows.data(), std::min(kPanel, s.row() - c));
        w += n * kPanel;
      }
    }
  }
}

// sums (row of a window, out) += the gradient of the weights in row i of the kernel, by one padded image and errors
// (panels of outputs, places, kPanel): those from `low` to `high` in the row, kPanel at most.
void weigh(const Tiles& by, const float* image, const float* errors, const Shape& s, const Places& at, int64_t i,
           int64_t low, int64_t high, float* sums) {
  int64_t rows[kPanel];
  for (int64_t r = low; r < high; ++r) rows[r - low] = r * s.out;
  for (int64_t c = 0; c < s.out; c += kPanel) {
    for (int64_t p = 0; p < s.places(); p += kDepth) {
      const int64_t n = std::min(kDepth, s.places() - p);
      const Factors f = {image + i * s.padded_row(), at.steps.data() + low, at.windows.data() + p, n, errors, kPanel};
      multiply(by, f, high - low, sums + c, rows, std::min(kPanel, s.out - c));
      errors += n * kPanel;
    }
  }
}

}  // namespace
}  // namespace snnax
