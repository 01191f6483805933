// The compiled loops on arrays of their exact sizes, for sanitizers: every shape at the edges of blocks, against plain
// loops. Built and run by test_kernels_in_cpp.py.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "convolution.cc"
#include "neuron_loop.cc"
#include "spike_product.cc"

using namespace snnax;

std::mt19937 engine(0);

std::unique_ptr<float[]> numbers(int64_t count, float share = 1.0f) {
  std::unique_ptr<float[]> out(new float[count]);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  for (int64_t i = 0; i < count; ++i) out[i] = uniform(engine) < share ? uniform(engine) - 0.3f : 0.0f;
  return out;
}

void expect(bool holds, const char* what, int64_t n, int64_t m) {
  if (holds) return;
  std::printf("%s is wrong for %ld by %ld\n", what, static_cast<long>(n), static_cast<long>(m));
  std::exit(1);
}

void products(int64_t n, int64_t m, float share) {
  auto x = numbers(n, share), w = numbers(n * m), g = numbers(m), out = numbers(m), sums = numbers(n * m);
  std::unique_ptr<Entry[]> entries(new Entry[n + 1]);
  const int64_t count = entries_of(x.get(), n, entries.get());
  expect(count == count_of(x.get(), n), "count", n, m);
  gather(entries.get(), count, w.get(), m, out.get());
  std::unique_ptr<float[]> before(new float[n * m]);
  std::copy_n(sums.get(), n * m, before.get());
  for (int64_t low = 0; low < m; low += kWidth) {
    scatter(entries.get(), count, g.get() + low, std::min(kWidth, m - low), m, sums.get() + low);
  }
  for (int64_t c = 0; c < m; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += static_cast<double>(x[i]) * w[i * m + c];
      expect(std::abs(sums[i * m + c] - (before[i * m + c] + x[i] * g[c])) < 1e-5, "scatter", n, m);
    }
    expect(std::abs(sum - out[c]) < 1e-4, "gather", n, m);
  }
}

template <Reset reset>
void loops(int64_t steps, int64_t n) {
  const int64_t stride = n + 3;
  auto x = numbers((steps - 1) * stride + n), out = numbers((steps - 1) * stride + n);
  auto alpha = numbers(n), gain = numbers(n), rest = numbers(n), theta = numbers(n), value = numbers(n), state = numbers(n);
  std::unique_ptr<double[]> v(new double[n]);
  std::copy_n(state.get(), n, v.get());
  const Neurons of = {alpha.get(), gain.get(), rest.get(), theta.get(), value.get()};
  forward<reset>(x.get(), of, steps, stride, n, state.get(), out.get());
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t j = 0; j < n; ++j) {
      v[j] = rest[j] + static_cast<double>(alpha[j]) * (v[j] - rest[j]) + static_cast<double>(gain[j]) * x[t * stride + j];
      expect(std::abs(v[j] - out[t * stride + j]) < 1e-4, "forward", steps, n);
      if (reset != kNone && out[t * stride + j] >= theta[j]) v[j] = reset == kToValue ? value[j] : v[j] - theta[j];
    }
  }
  for (bool backwards : {false, true}) {
    std::unique_ptr<float[]> moving(new float[n]()), moved_by(new float[(steps - 1) * stride + n]());
    const auto run = reset == kToValue ? (backwards ? moved<false, true> : moved<false, false>)
                                       : (backwards ? moved<true, true> : moved<true, false>);
    run(x.get(), out.get(), alpha.get(), theta.get(), steps, stride, n, moving.get(), moved_by.get());
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < steps; ++i) {
        const int64_t at = (backwards ? steps - 1 - i : i) * stride + j;
        const int64_t gate = backwards ? at : at - stride;
        const bool cut = reset == kToValue && gate >= 0 && out[gate] >= theta[j];
        sum = x[at] + (cut ? 0.0 : alpha[j] * sum);
        expect(std::abs(sum - moved_by[at]) < 1e-4, "moved", steps, n);
      }
    }
  }
}

void transposes(int64_t rows, int64_t columns) {
  auto from = numbers(rows * columns);
  std::unique_ptr<float[]> to(new float[rows * columns]);
  transpose(from.get(), columns, rows, columns, to.get(), rows);
  for (int64_t i = 0; i < rows * columns; ++i) {
    expect(to[i % columns * rows + i / columns] == from[i], "transpose", rows, columns);
  }
}

void expect_close(const float* found, const double* expected, int64_t count, const char* what, const Shape& s) {
  for (int64_t i = 0; i < count; ++i) expect(std::abs(found[i] - expected[i]) < 1e-4, what, s.channels, s.out);
}

void convolutions(Shape s) {
  s.out_height = (s.height + 2 * s.top - s.kernel_height) / s.down + 1;
  s.out_width = (s.width + 2 * s.left - s.kernel_width) / s.right + 1;
  const int64_t weights = s.channels * s.kernel() * s.out;
  auto image = numbers(s.size(), 0.4f), w = numbers(weights), g = numbers(s.out_size());
  std::unique_ptr<double[]> out(new double[s.out_size()]()), dw(new double[weights]()), dx(new double[s.size()]());
  for (int64_t o = 0; o < s.out; ++o) {
    for_weights(s, w.get(), o, [&](int64_t i, int64_t j, int64_t c, float weight) {
      const int64_t k = ((o * s.channels + c) * s.kernel_height + i) * s.kernel_width + j;
      for (int64_t p = 0; p < s.places(); ++p) {
        const int64_t y = p / s.out_width * s.down + i - s.top, x = p % s.out_width * s.right + j - s.left;
        if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
        const int64_t at = (c * s.height + y) * s.width + x;
        out[p * s.out + o] += static_cast<double>(image[at]) * weight;
        dw[k] += static_cast<double>(image[at]) * g[p * s.out + o];
        dx[at] += static_cast<double>(g[p * s.out + o]) * weight;
      }
    });
  }
  const auto nothing = [](int64_t count) { return std::unique_ptr<float[]>(new float[count]()); };
  const Columns columns(s);
  std::unique_ptr<Entry[]> entries(new Entry[s.plane() + 1]);
  auto in_order = nothing(weights), to_outputs = nothing(packed_size(s, false)), back = nothing(packed_size(s, true));
  for (int64_t o = 0; o < s.out; ++o) {
    order(w.get(), o, s, columns, in_order.get());
    pack(w.get(), o, s, false, to_outputs.get());
    pack(w.get(), o, s, true, back.get());
  }
  auto sums = nothing(s.out_size()), gradient = nothing(weights), again = nothing(weights);
  convolve_entries(image.get(), in_order.get(), s, columns, entries.get(), sums.get());
  expect_close(sums.get(), out.get(), s.out_size(), "convolve_entries", s);
  for (int64_t c = 0; c < s.channels; ++c) {
    float* to = gradient.get() + c * s.kernel() * s.out;
    weigh_entries(image.get() + c * s.plane(), g.get(), s, columns, entries.get(), to);
  }
  for (int64_t o = 0; o < s.out; ++o) {
    for_weights(s, again.get(), o, [&](int64_t i, int64_t j, int64_t c, float& weight) {
      const int64_t place = columns.place(j % s.right, j / s.right);
      weight = gradient[((c * s.kernel_height + i) * s.kernel_width + place) * s.out + o];
    });
  }
  expect_close(again.get(), dw.get(), weights, "weigh_entries", s);

  const Places at(s);
  auto errors = nothing(panels_of(s.out) * s.places() * kPanel);
  for (int64_t i = 0; i < s.out_size(); ++i) {
    const int64_t p = i / s.out, o = i % s.out;
    errors[(o / kPanel * s.places() + p) * kPanel + o % kPanel] = g[i];
  }
  for (const Tiles* by : {&kTilesOf4, &kTilesOf8, &kTilesOf16}) {
    auto padded = nothing(s.padded_size()), moved = nothing(s.padded_size()), sums = nothing(s.out_size());
    auto gradient = nothing(weights), dense = nothing(s.size());
    pad(image.get(), s, padded.get());
    convolve(*by, padded.get(), to_outputs.get(), s, at, sums.get());
    expect_close(sums.get(), out.get(), s.out_size(), "convolve", s);
    convolve_back(*by, g.get(), back.get(), s, at, moved.get());
    crop(moved.get(), s, dense.get());
    expect_close(dense.get(), dx.get(), s.size(), "convolve_back", s);
    for (int64_t i = 0; i < s.kernel_height; ++i) {
      for (int64_t low = 0; low < s.row(); low += kPanel) {
        const int64_t high = std::min(s.row(), low + kPanel);
        weigh(*by, padded.get(), errors.get(), s, at, i, low, high, gradient.get() + i * s.row() * s.out);
      }
    }
    for (int64_t o = 0; o < s.out; ++o) {
      for_weights(s, again.get(), o, [&](int64_t i, int64_t j, int64_t c, float& weight) {
        weight = gradient[((i * s.kernel_width + j) * s.channels + c) * s.out + o];
      });
    }
    expect_close(again.get(), dw.get(), weights, "weigh", s);
  }
}

int main() {
  for (int64_t rows : {1, 3, 4, 9}) {
    for (int64_t columns : {1, 4, 7, 8}) transposes(rows, columns);
  }
  for (int64_t out : {1, 8, 11, 33, 65}) {
    for (int64_t pad : {0, 2}) {
      for (int64_t stride : {1, 2, 3}) {
        convolutions({1, 5, 6, 1, 1, stride, 1, pad, 0, 0, 0, out});
        convolutions({3, 7, 5, 3, 5, stride, stride, pad, pad, 0, 0, out});
        convolutions({2, 9, 8, 4, 2, 1, stride, 0, pad, 0, 0, out});
        convolutions({17, 4, 9, 2, 4, 1, stride, pad, pad, 0, 0, out});
      }
    }
  }
  for (int64_t n : {1, 2, 15, 16, 17, 33}) {
    for (int64_t m : {1, 7, 63, 64, 65, 130}) {
      for (float share : {0.0f, 0.1f, 1.0f}) products(n, m, share);
    }
  }
  for (int64_t steps : {1, 2, 9}) {
    for (int64_t n : {1, 8, 31, 1024}) {
      loops<kNone>(steps, n);
      loops<kToValue>(steps, n);
      loops<kSubtract>(steps, n);
    }
  }
  std::puts("all equal");
}
