// Convolutions of images, and what moves the images and the weights: entry by entry where few are not zero, and else
// dense. Every sum runs in a fixed order, whatever the number of threads.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "dense_convolution.h"
#include "entries.h"
#include "images.h"
#include "parallel.h"
#include "spike_convolution.h"
#include "tile.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

constexpr int64_t kTogether = 64;  // images that are read before the gradients of their weights are summed
constexpr int64_t kTasks = 16;     // there are at least so many tasks, whatever the number of threads

// Calls f(first, end) for blocks of images, several for each thread.
template <typename F>
void for_images(ffi::ThreadPool& pool, int64_t images, const F& f) {
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  const int64_t block = std::min<int64_t>(std::max<int64_t>(images / (4 * threads), 1), 16);
  for_each(pool, (images + block - 1) / block, [&](int64_t i) { f(i * block, std::min(images, (i + 1) * block)); });
}

using Images = ffi::Buffer<ffi::F32, 4>;   // (images, channels, height, width)
using Weights = ffi::Buffer<ffi::F32, 4>;  // (out, channels, height, width)

template <typename A, typename B, typename C>
Shape shape_of(const A& x, const B& w, const C& out, int64_t down, int64_t right, int64_t top, int64_t left) {
  const auto xs = x.dimensions(), ws = w.dimensions(), os = out.dimensions();
  return {xs[1], xs[2], xs[3], ws[2], ws[3], down, right, top, left, os[2], os[3], os[1]};
}

// Entries are few where their share is `few` at most.
ffi::Error convolution(ffi::ThreadPool pool, Images x, Weights w, ffi::Result<Images> out, int64_t down, int64_t right,
                       int64_t top, int64_t left, float few) {
  const Shape s = shape_of(x, w, *out, down, right, top, left);
  const Tiles& by = tiles();
  const Places at(s);
  const Columns columns(s);
  Zeros dense(packed_size(s, false)), sparse(s.channels * s.kernel() * s.out);
  for_each(pool, s.out, [&](int64_t o) {
    pack(w.typed_data(), o, s, false, dense.data());
    order(w.typed_data(), o, s, columns, sparse.data());
  });
  for_images(pool, x.dimensions()[0], [&](int64_t first, int64_t end) {
    Zeros padded(s.padded_size()), sums(s.out_size());
    std::vector<Entry> entries(s.plane() + 1);
    for (int64_t i = first; i < end; ++i) {
      const float* image = x.typed_data() + i * s.size();
      std::fill_n(sums.data(), s.out_size(), 0.0f);
      if (count_of(image, s.size()) <= few * s.size()) {
        convolve_entries(image, sparse.data(), s, columns, entries.data(), sums.data());
      } else {
        pad(image, s, padded.data());
        convolve(by, padded.data(), dense.data(), s, at, sums.data());
      }
      transpose(sums.data(), s.out, s.places(), s.out, out->typed_data() + i * s.out_size(), s.places());
    }
  });
  return ffi::Error::Success();
}

ffi::Error image_gradient(ffi::ThreadPool pool, Images g, Weights w, ffi::Result<Images> out, int64_t down,
                          int64_t right, int64_t top, int64_t left) {
  const Shape s = shape_of(*out, w, g, down, right, top, left);
  const Tiles& by = tiles();
  const Places at(s);
  Zeros packed(packed_size(s, true));
  for_each(pool, s.out, [&](int64_t o) { pack(w.typed_data(), o, s, true, packed.data()); });
  for_images(pool, g.dimensions()[0], [&](int64_t first, int64_t end) {
    Zeros errors(s.out_size()), padded(s.padded_size());
    for (int64_t i = first; i < end; ++i) {
      float* image = out->typed_data() + i * s.size();
      transpose(g.typed_data() + i * s.out_size(), s.places(), s.out, s.places(), errors.data(), s.out);
      std::fill_n(padded.data(), s.padded_size(), 0.0f);
      convolve_back(by, errors.data(), packed.data(), s, at, padded.data());
      std::fill_n(image, s.size(), 0.0f);
      crop(padded.data(), s, image);
    }
  });
  return ffi::Error::Success();
}

// A task is one channel, or a panel of a row of the kernel. Where these are few, each is several, with sums of its own
// for a part of the images.
ffi::Error weight_gradient(ffi::ThreadPool pool, Images x, Images g, ffi::Result<Weights> out, int64_t down,
                           int64_t right, int64_t top, int64_t left, float few) {
  const Shape s = shape_of(x, *out, g, down, right, top, left);
  const int64_t images = x.dimensions()[0], size = s.channels * s.kernel() * s.out;
  std::vector<int64_t> counts(images);
  for_images(pool, images, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) counts[i] = count_of(x.typed_data() + i * s.size(), s.size());
  });
  const bool sparse = std::accumulate(counts.begin(), counts.end(), int64_t{0}) <= few * x.element_count();
  const int64_t panels = panels_of(s.row()), tasks = sparse ? s.channels : s.kernel_height * panels;
  const int64_t parts = (kTasks + tasks - 1) / tasks, together = std::min(images, kTogether);
  const int64_t width = sparse ? s.out : kPanel, error_size = s.places() * (sparse ? s.out : panels_of(s.out) * kPanel);
  const Tiles& by = tiles();
  const Places at(s);
  const Columns columns(s);
  Zeros padded(sparse ? 0 : together * s.padded_size()), errors(together * error_size);
  Zeros sums(parts * size);  // (parts, channels, kernel with ordered columns, out), or (parts, kernel, channels, out)
  for (int64_t begin = 0; begin < images; begin += together) {
    const float* xs = x.typed_data() + begin * s.size();
    const float* gs = g.typed_data() + begin * s.out_size();
    const int64_t count = std::min(together, images - begin);
    for_images(pool, count, [&](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; ++i) {
        for (int64_t c = 0; c < s.out; c += width) {
          const int64_t offset = c * s.places();
          transpose(gs + i * s.out_size() + offset, s.places(), std::min(width, s.out - c), s.places(),
                    errors.data() + i * error_size + offset, width);
        }
        if (!sparse) pad(xs + i * s.size(), s, padded.data() + i * s.padded_size());
      }
    });
    for_each(pool, tasks * parts, [&](int64_t number) {
      const int64_t task = number % tasks, part = number / tasks;
      const int64_t row = task / panels, low = task % panels * kPanel, high = std::min(s.row(), low + kPanel);
      float* to = sums.data() + part * size + (sparse ? task * s.kernel() : row * s.row()) * s.out;
      std::vector<Entry> entries(sparse ? s.plane() + 1 : 0);
      for (int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) {
        const float* error = errors.data() + i * error_size;
        if (sparse) {
          weigh_entries(xs + i * s.size() + task * s.plane(), error, s, columns, entries.data(), to);
        } else {
          weigh(by, padded.data() + i * s.padded_size(), error, s, at, row, low, high, to);
        }
      }
    });
  }
  for_each(pool, s.out, [&](int64_t o) {
    for_weights(s, out->typed_data(), o, [&](int64_t i, int64_t j, int64_t c, float& weight) {
      const int64_t ordered = columns.place(j % s.right, j / s.right);
      const int64_t place = sparse ? (c * s.kernel_height + i) * s.kernel_width + ordered
                                   : (i * s.kernel_width + j) * s.channels + c;
      weight = 0.0f;
      for (int64_t part = 0; part < parts; ++part) weight += sums[part * size + place * s.out + o];
    });
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
                                  .Ret<snnax::Images>()
                                  .Attr<int64_t>("down")
                                  .Attr<int64_t>("right")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left")
                                  .Attr<float>("few"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_image_gradient, snnax::image_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Images>()
                                  .Arg<snnax::Weights>()
                                  .Ret<snnax::Images>()
                                  .Attr<int64_t>("down")
                                  .Attr<int64_t>("right")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_weight_gradient, snnax::weight_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Images>()
                                  .Arg<snnax::Images>()
                                  .Ret<snnax::Weights>()
                                  .Attr<int64_t>("down")
                                  .Attr<int64_t>("right")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left")
                                  .Attr<float>("few"));
