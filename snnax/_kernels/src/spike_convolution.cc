// Convolutions of images that are mostly zeros, and the gradient of their weights: entry by entry, as for products.
//
// Images are (channels, height, width). Outputs, errors and weights have their output channels last, so that an entry
// that is not zero adds one contiguous vector for each place of the window that it lies in.

#include <algorithm>
#include <cstdint>

#include "parallel.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

typedef float Vector __attribute__((vector_size(32), aligned(4)));

// to[c] += value * from[c].
SNNAX_EACH_TARGET void add(float value, const float* __restrict from, int64_t n, float* __restrict to) {
  int64_t c = 0;
  for (; c + 8 <= n; c += 8) *reinterpret_cast<Vector*>(to + c) += value * *reinterpret_cast<const Vector*>(from + c);
  for (; c < n; ++c) to[c] += value * from[c];
}

// The windows that an entry lies in, along one axis: for offset k in [first, last], in steps, the output (at - k) / stride.
struct Span {
  int64_t first, last, step;
};

inline Span windows(int64_t at, int64_t kernel, int64_t stride, int64_t outputs) {
  const int64_t low = std::max<int64_t>(at - (outputs - 1) * stride, 0);
  return {low + (at - low) % stride, std::min(at, kernel - 1), stride};
}

struct Shape {
  int64_t channels, height, width, kernel_height, kernel_width, down, right, top, left, out_height, out_width, out;
};

// Calls visit(place in the kernel, place in the output) for each window that entry (y, x) lies in.
template <typename F>
inline void for_windows(const Shape& s, int64_t y, int64_t x, const F& visit) {
  const Span rows = windows(y + s.top, s.kernel_height, s.down, s.out_height);
  const Span columns = windows(x + s.left, s.kernel_width, s.right, s.out_width);
  for (int64_t i = rows.first; i <= rows.last; i += rows.step) {
    const int64_t row = (y + s.top - i) / s.down * s.out_width;
    for (int64_t j = columns.first; j <= columns.last; j += columns.step) {
      visit(i * s.kernel_width + j, row + (x + s.left - j) / s.right);
    }
  }
}

// out (out_height * out_width, out) += the convolution of one image with w (channels, kernel, out).
void convolve(const float* image, const float* w, const Shape& s, float* out) {
  const int64_t kernel = s.kernel_height * s.kernel_width;
  std::fill(out, out + s.out_height * s.out_width * s.out, 0.0f);
  for (int64_t c = 0; c < s.channels; ++c, w += kernel * s.out) {
    for (int64_t y = 0; y < s.height; ++y) {
      for (int64_t x = 0; x < s.width; ++x) {
        const float value = *image++;
        if (value == 0.0f) continue;
        for_windows(s, y, x, [&](int64_t k, int64_t place) { add(value, w + k * s.out, s.out, out + place * s.out); });
      }
    }
  }
}

// sums (kernel, out) += the gradient of the weights of one channel, of which this is one image.
void weigh(const float* channel, const float* errors, const Shape& s, float* sums) {
  for (int64_t y = 0; y < s.height; ++y) {
    for (int64_t x = 0; x < s.width; ++x) {
      const float value = *channel++;
      if (value == 0.0f) continue;
      for_windows(s, y, x, [&](int64_t k, int64_t place) { add(value, errors + place * s.out, s.out, sums + k * s.out); });
    }
  }
}

using Images = ffi::Buffer<ffi::F32, 4>;   // (images, channels, height, width)
using Outputs = ffi::Buffer<ffi::F32, 4>;  // (images, height, width, channels)
using Weights = ffi::Buffer<ffi::F32, 4>;  // (input channels, height, width, output channels)

template <typename A, typename B, typename C>
Shape shape_of(const A& x, const B& w, const C& out, int64_t down, int64_t right, int64_t top, int64_t left) {
  const auto xs = x.dimensions(), ws = w.dimensions(), os = out.dimensions();
  return {xs[1], xs[2], xs[3], ws[1], ws[2], down, right, top, left, os[1], os[2], os[3]};
}

ffi::Error convolution(ffi::ThreadPool pool, Images x, Weights w, ffi::Result<Outputs> out, int64_t down, int64_t right,
                       int64_t top, int64_t left) {
  const Shape s = shape_of(x, w, *out, down, right, top, left);
  const int64_t in_size = s.channels * s.height * s.width, out_size = s.out_height * s.out_width * s.out;
  for_each(pool, x.dimensions()[0], [&](int64_t i) {
    convolve(x.typed_data() + i * in_size, w.typed_data(), s, out->typed_data() + i * out_size);
  });
  return ffi::Error::Success();
}

ffi::Error weight_gradient(ffi::ThreadPool pool, Images x, Outputs g, ffi::Result<Weights> out, int64_t down,
                           int64_t right, int64_t top, int64_t left) {
  const Shape s = shape_of(x, *out, g, down, right, top, left);
  const int64_t plane = s.height * s.width, out_size = s.out_height * s.out_width * s.out;
  const int64_t images = x.dimensions()[0], kernel = s.kernel_height * s.kernel_width * s.out;
  for_each(pool, s.channels, [&](int64_t c) {
    float* sums = out->typed_data() + c * kernel;
    std::fill(sums, sums + kernel, 0.0f);
    for (int64_t i = 0; i < images; ++i) {
      weigh(x.typed_data() + (i * s.channels + c) * plane, g.typed_data() + i * out_size, s, sums);
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_convolution, snnax::convolution,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Images>()
                                  .Arg<snnax::Weights>()
                                  .Ret<snnax::Outputs>()
                                  .Attr<int64_t>("down")
                                  .Attr<int64_t>("right")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_weight_gradient, snnax::weight_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Images>()
                                  .Arg<snnax::Outputs>()
                                  .Ret<snnax::Weights>()
                                  .Attr<int64_t>("down")
                                  .Attr<int64_t>("right")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left"));
