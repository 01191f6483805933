// The compiled loops on arrays of their exact sizes, for sanitizers: every shape at the edges of blocks, against plain
// loops. Built and run by test_kernels_in_cpp.py.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "convolution.cc"
#include "neuron_loop.cc"
#include "recurrent_loop.cc"
#include "spike_product.cc"
#include "spiking_loop.cc"

using namespace snnax;

std::mt19937 engine(0);

std::unique_ptr<float[]> numbers(int64_t count, float share = 1.0f) {
  std::unique_ptr<float[]> out(new float[count]);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  for (int64_t i = 0; i < count; ++i) out[i] = uniform(engine) < share ? uniform(engine) - 0.3f : 0.0f;
  return out;
}

std::unique_ptr<float[]> positive(int64_t count) {
  auto out = numbers(count);
  for (int64_t i = 0; i < count; ++i) out[i] = 0.1f + std::abs(out[i]);
  return out;
}

void expect(bool holds, const char* what, int64_t n, int64_t m) {
  if (holds) return;
  std::printf("%s is wrong for %ld by %ld\n", what, static_cast<long>(n), static_cast<long>(m));
  std::exit(1);
}

void products(int64_t n, int64_t m, float share) {
  auto x = numbers(n, share), w = numbers(n * m), out = numbers(m);
  std::unique_ptr<Entry[]> entries(new Entry[n + 1]);
  const int64_t count = entries_of(x.get(), n, entries.get());
  expect(count == count_of(x.get(), n), "count", n, m);
  gather(entries.get(), count / 2, w.get(), m, 0, m, false, out.get());
  for (int64_t low = 0; low < m; low += kWidth) {
    gather(entries.get() + count / 2, count - count / 2, w.get(), m, low, std::min(low + kWidth, m), true, out.get());
  }
  for (int64_t c = 0; c < m; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += static_cast<double>(x[i]) * w[i * m + c];
    }
    expect(std::abs(sum - out[c]) < 1e-4, "gather", n, m);
  }
}

struct RowsOf {
  const float* x;
  int64_t n;
  int64_t entries(int64_t row, Entry* found) const { return entries_of(x + row * n, n, found); }
};

// Entries in the order of their places, which are those of the rows.
void places(int64_t rows, int64_t n, float share) {
  auto x = numbers((rows + 1) * n, share);
  std::unique_ptr<float[]> again(new float[rows * n]());
  ByPlace all;
  all.find(RowsOf{x.get(), n}, 1, rows);
  const int64_t ends[] = {0, n / 2, n};
  for (int part : {0, 1}) {
    all.each(ends[part], ends[part + 1], [&](int64_t place, const Entry* entries, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        expect(i == 0 || entries[i - 1].place < entries[i].place, "order", rows, n);
        again[entries[i].place * n + place] = entries[i].value;
      }
    });
  }
  for (int64_t i = 0; i < rows * n; ++i) expect(again[i] == x[n + i], "places", rows, n);
}

// Counts, and bits whose last bytes are filled by what is no entry.
void bytes(int64_t groups, int64_t size, float share) {
  const int64_t width = (size + 7) / 8, n = groups * size;
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  std::unique_ptr<uint8_t[]> counts(new uint8_t[n]), bits(new uint8_t[groups * width]());
  for (int64_t i = 0; i < n; ++i) counts[i] = uniform(engine) < share ? 1 + engine() % 255 : 0;
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t i = 0; i < 8 * width; ++i) {
      if (i >= size || counts[group * size + i]) bits[group * width + i / 8] |= 128 >> i % 8;
    }
  }
  std::unique_ptr<Entry[]> of_counts(new Entry[n + 1]), of_bits(new Entry[n + 1]);
  const int64_t count = entries_of(counts.get(), n, of_counts.get());
  expect(count == count_of(counts.get(), n), "count of counts", groups, size);
  expect(count == count_of(bits.get(), groups, size), "count of bits", groups, size);
  expect(count == entries_of(bits.get(), groups, size, of_bits.get()), "number of bits", groups, size);
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!counts[i]) continue;
    expect(of_counts[at].place == i && of_counts[at].value == counts[i], "entry of counts", groups, size);
    expect(of_bits[at].place == i && of_bits[at].value == 1.0f, "entry of bits", groups, size);
    ++at;
  }
  expect(at == count, "order", groups, size);
}

struct Counted {
  const uint8_t* x;
  int64_t rows, n;

  int64_t entries(int64_t row, Entry* found) const { return entries_of(x + row * n, n, found); }
};

// The entries of more rows than one task has, block by block.
void blocks(int64_t rows, int64_t n) {
  std::unique_ptr<uint8_t[]> counts(new uint8_t[rows * n]);
  for (int64_t i = 0; i < rows * n; ++i) counts[i] = engine() % 3;
  for (int64_t task = 0; task < tasks_of(rows); ++task) {
    Found found;
    found.find(Counted{counts.get(), rows, n}, task);
    for (int64_t block = 0; block < blocks_of(n); ++block) {
      int64_t expected = 0, seen = 0;
      for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
        for (int64_t i = block * kPlaces; i < std::min(n, (block + 1) * kPlaces); ++i) expected += counts[r * n + i] != 0;
      }
      found.each(block, blocks_of(n), [&](int64_t row, const Entry* entries, int64_t count) {
        for (int64_t e = 0; e < count; ++e, ++seen) {
          expect(entries[e].place / kPlaces == block, "block", rows, n);
          expect(entries[e].value == counts[(task * kRows + row) * n + entries[e].place], "entry of block", rows, n);
        }
      });
      expect(seen == expected, "number in block", rows, n);
    }
  }
}

// The derivatives of surrogates, in double precision.
double derivative(int64_t slope, double given, double x, double k) {
  const double pi = std::acos(-1.0);
  switch (slope) {
    case kStraightThrough: return 1;
    case kLeakyStep: return x >= 0 ? 1 : k;
    case kLogTailed: return x < 0 ? 0 : 1 / std::max(k * x, 1.0);
    case kTriangular: return std::max(1 - k * std::abs(x), 0.0);
    case kBoxcar: return std::abs(x) < 1 / (2 * k) ? k : 0;
    case kSuperSpike: return 1 / std::pow(1 + k * std::abs(x), 2);
    case kArcTan: return k / 2 / (1 + std::pow(pi / 2 * k * x, 2));
    case kSigmoid: return k / (1 + std::exp(k * x)) / (1 + std::exp(-k * x));
    case kExponential: return k / 2 * std::exp(-k * std::abs(x));
    case kGaussian: return k * std::exp(-std::pow(k * x, 2) / 2) / std::sqrt(2 * pi);
    default: return given;
  }
}

template <Slope slope>
void slopes() {
  for (float k : {0.3f, 4.0f, 80.0f}) {
    for (float x : {0.0f, -0.0f, 1e-6f, 0.01f, -0.4f, 1.2f, -30.0f, 3e4f, -INFINITY}) {
      const double expected = derivative(slope, x, x, k), got = slope_at<slope>(x, x, k);
      expect(got == expected || std::abs(got - expected) < 1e-5 * std::abs(expected) + 1e-30, "slope", slope, 1);
    }
    const bool sees = slope != kStraightThrough && slope != kLeakyStep && slope != kBoxcar;
    expect(std::isnan(slope_at<slope>(NAN, NAN, k)) == sees, "slope of NaN", slope, 1);
  }
}

template <int64_t... slope>
void all_slopes(std::integer_sequence<int64_t, slope...>) {
  (slopes<Slope(slope)>(), ...);
}

template <Reset reset>
void loops(int64_t steps, int64_t n) {
  const int64_t stride = n + 3, size = (steps - 1) * stride + n;
  auto x = numbers(size), out = numbers(size), fired = numbers(size), in = numbers(size);
  auto alpha = numbers(n), gain = numbers(n), rest = numbers(n), theta = numbers(n), value = numbers(n), state = numbers(n);
  auto k = positive(n);
  std::unique_ptr<double[]> v(new double[n]);
  std::copy_n(state.get(), n, v.get());
  const Neurons of = {alpha.get(), gain.get(), rest.get(), theta.get(), value.get()};
  fire<reset>(x.get(), of, steps, stride, n, state.get(), out.get(), fired.get());
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t j = 0; j < n; ++j) {
      v[j] = rest[j] + static_cast<double>(alpha[j]) * (v[j] - rest[j]) + static_cast<double>(gain[j]) * x[t * stride + j];
      const float got = out[t * stride + j];
      expect(std::abs(v[j] - got) < 1e-4, "fire", steps, n);
      expect(fired[t * stride + j] == (got >= theta[j] ? 1 : 0), "spikes", steps, n);
      if (reset != kNone && got >= theta[j]) v[j] = reset == kToValue ? value[j] : v[j] - theta[j];
    }
  }
  static constexpr auto each = all_errors(std::make_integer_sequence<int64_t, kSlopes>());
  for (int64_t slope = 0; slope < kSlopes; ++slope) {
    std::unique_ptr<float[]> carried(new float[n]()), error(new float[size]);
    const bool gated = reset == kToValue, everywhere = slope % 2;
    const Coefficient of_v = {in.get(), everywhere ? stride : 0}, given = {fired.get(), everywhere ? 0 : stride};
    each[slope][gated](x.get(), of_v, given, out.get(), theta.get(), k.get(), alpha.get(), steps, stride, n, carried.get(),
                       error.get());
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t t = steps - 1; t >= 0; --t) {
        const int64_t at = t * stride + j;
        const double h = derivative(slope, given.first[t * given.stride + j], out[at] - theta[j], k[j]);
        const bool cut = gated && out[at] >= theta[j];
        sum = of_v.first[t * of_v.stride + j] + h * x[at] + (cut ? 0.0 : alpha[j] * sum);
        expect(std::abs(sum - error[at]) < 1e-4 * (1 + std::abs(sum)), "errors", steps, n);
      }
    }
  }
}

void filters(int64_t steps, int64_t n) {
  const int64_t stride = n + 3, size = (steps - 1) * stride + n;
  auto x = numbers(size), out = numbers(size);
  auto alpha = numbers(n), gain = numbers(n), rest = numbers(n), state = numbers(n), last = numbers(n);
  std::copy_n(state.get(), n, last.get());
  leak(x.get(), {alpha.get(), gain.get(), rest.get(), nullptr, nullptr}, steps, stride, n, state.get(), out.get());
  for (int64_t j = 0; j < n; ++j) {
    double v = last[j];
    for (int64_t t = 0; t < steps; ++t) {
      v = rest[j] + static_cast<double>(alpha[j]) * (v - rest[j]) + static_cast<double>(gain[j]) * x[t * stride + j];
      expect(std::abs(v - out[t * stride + j]) < 1e-4, "leak", steps, n);
    }
  }
  for (bool backwards : {false, true}) {
    std::unique_ptr<float[]> moving(new float[n]()), moved_by(new float[size]);
    (backwards ? moved<true> : moved<false>)(x.get(), {alpha.get(), 0}, steps, stride, n, moving.get(), moved_by.get());
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < steps; ++i) {
        const int64_t at = (backwards ? steps - 1 - i : i) * stride + j;
        sum = x[at] + alpha[j] * sum;
        expect(std::abs(sum - moved_by[at]) < 1e-4, "moved", steps, n);
      }
    }
  }
}

template <Reset reset, bool adapts, bool rests>
void spikes(int64_t steps, int64_t n) {
  const int64_t stride = n + 3, refractory = rests ? 2 : 0;
  auto x = numbers((steps - 1) * stride + n), out = numbers((steps - 1) * stride + n);
  std::unique_ptr<float[]> rows[10];
  for (auto& row : rows) row = numbers(n);
  const Spiking of = {rows[0].get(), rows[1].get(), rows[2].get(), rows[3].get(), rows[4].get(),
                      rows[5].get(), rows[6].get(), rows[7].get(), rows[8].get(), rows[9].get()};
  auto p = numbers(n), a = numbers(n), last = numbers(n);
  std::unique_ptr<int32_t[]> countdown(new int32_t[n]), left(new int32_t[n]);
  std::unique_ptr<uint8_t[]> marks(new uint8_t[(steps - 1) * stride + n]());
  std::unique_ptr<double[]> v(new double[n]), b(new double[n]), before(new double[n]);
  for (int64_t j = 0; j < n; ++j) {
    v[j] = p[j];
    b[j] = before[j] = a[j];
    countdown[j] = left[j] = rests ? static_cast<int32_t>(j % 3) : 0;
  }
  spike<reset, adapts, rests>(x.get(), of, static_cast<int32_t>(refractory), steps, stride, n, p.get(), a.get(),
                               countdown.get(), out.get(), marks.get(), last.get());
  for (int64_t j = 0; j < n; ++j) {
    const double alpha = rows[0][j], gain = rows[1][j], rest = rows[2][j], theta = rows[3][j], rho = rows[5][j];
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t at = t * stride + j;
      const bool resting = marks[at] & 1, lowered = marks[at] & 2;
      expect(resting == (left[j] > 0), "rest", steps, n);
      const double integrated = rest + alpha * (v[j] - rest) + gain * x[at] + (adapts ? rows[7][j] * b[j] : 0);
      const double w = resting ? v[j] : integrated, threshold = theta + (adapts ? rows[6][j] * b[j] : 0);
      expect(reset == kDelayed || !lowered, "lowered", steps, n);
      expect(reset != kDelayed || lowered == (v[j] >= threshold) || std::abs(v[j] - threshold) < 1e-4, "lowered", steps, n);
      expect(std::abs(w - (threshold - theta) - (lowered ? threshold : 0) - out[at]) < 1e-4, "spike", steps, n);
      const bool fired = !resting && out[at] >= rows[3][j];
      v[j] = !fired || reset == kNone ? w : reset == kToValue ? rows[4][j] : w - threshold;
      before[j] = b[j];
      if (adapts) b[j] = rho * b[j] + rows[8][j] * (w - rest) + (fired ? rows[9][j] : 0);
      left[j] = fired ? static_cast<int32_t>(refractory) : std::max(left[j] - 1, 0);
    }
    expect(std::abs(before[j] - last[j]) < 1e-4 && left[j] == countdown[j], "last", steps, n);
  }
}

void couples(int64_t steps, int64_t n) {
  const int64_t stride = n + 3, size = (steps - 1) * stride + n;
  auto u = numbers(size), first = numbers(n), z = numbers(n), out = numbers(size), row = numbers(n);
  std::unique_ptr<float[]> each[3] = {numbers(size), numbers(size), numbers(size)};
  const Coefficient c[] = {{each[0].get(), stride}, {each[1].get(), stride}, {each[2].get(), stride}, {row.get(), 0}};
  for (bool backwards : {false, true}) {
    std::unique_ptr<float[]> a(new float[n]);
    std::copy_n(first.get(), n, a.get());
    const auto run = backwards ? couple<true> : couple<false>;
    run(u.get(), c, steps, stride, n, z.get(), a.get(), out.get());
    for (int64_t j = 0; j < n; ++j) {
      double one = 0, two = first[j];
      for (int64_t i = 0; i < steps; ++i) {
        const int64_t t = backwards ? steps - 1 - i : i, from = (backwards ? t : t - 1) * stride + j;
        if (i == 0) {
          one = u[t * stride + j];
        } else {
          const double sum = u[t * stride + j] + each[0][from] * one + each[backwards ? 2 : 1][from] * two;
          two = each[backwards ? 1 : 2][from] * one + row[j] * two;
          one = sum;
        }
        expect(std::abs(one - out[t * stride + j]) < 1e-4, "couple", steps, n);
      }
      expect(std::abs(two - a[j]) < 1e-4, "couple, last", steps, n);
    }
  }
}

// A step of neurons that hear each other.
template <Reset reset>
void returns(int64_t n) {
  auto w = numbers(n * n), x = numbers(n), v = numbers(n), out = numbers(n), state = numbers(n), c = numbers(n);
  auto spikes = numbers(n);
  std::unique_ptr<float[]> rows[7];
  for (auto& row : rows) row = numbers(n);
  std::unique_ptr<int32_t[]> fired(new int32_t[n + 1]);
  const int64_t count = fired_of(v.get(), rows[3].get(), n, fired.get());
  auto heard = numbers(n), p = numbers(n), before = numbers(n);
  const Panels panels(w.get(), n, n, false);
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const float* panel = panels.weights.data() + begin * n;
    add_rows(fired.get(), count, panel, std::min(kPanel, n - begin), heard.get() + begin);
  }
  std::copy_n(state.get(), n, p.get());
  std::copy_n(c.get(), n, before.get());
  const Returning of = {rows[0].get(), rows[1].get(), rows[2].get(), rows[3].get(),
                        rows[4].get(), rows[5].get(), rows[6].get()};
  step<reset>(x.get(), heard.get(), of, n, state.get(), c.get(), out.get(), spikes.get());
  for (int64_t j = 0; j < n; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += v[i] >= rows[3][i] ? w[i * n + j] : 0;
    const double current = rows[5][j] * before[j] + rows[6][j] * sum;
    const double z = rows[2][j] + rows[0][j] * (p[j] - rows[2][j]) + rows[1][j] * (x[j] + current);
    expect(std::abs(sum - heard[j]) < 1e-4 && std::abs(z - out[j]) < 1e-4, "step", 1, n);
    const float after = reset == kNone ? out[j] : reset == kToValue ? rows[4][j] : out[j] - rows[3][j];
    expect(state[j] == (out[j] >= rows[3][j] ? after : out[j]), "reset", 1, n);
    expect(spikes[j] == (out[j] >= rows[3][j] ? 1 : 0), "spikes of a step", 1, n);
  }
}

// A step of their errors.
template <bool gated>
void answers(int64_t n) {
  static constexpr auto each = all_answers(std::make_integer_sequence<int64_t, kSlopes>());
  for (int64_t slope = 0; slope < kSlopes; ++slope) {
    std::unique_ptr<float[]> rows[6], given[8];
    for (auto& row : rows) row = numbers(n);
    for (auto& one : given) one = numbers(n);
    rows[1] = positive(n);
    auto &spike = given[0], &in = given[1], &h = given[2], &v = given[3], &heard = given[4], &state = given[5];
    auto &c = given[6], &out = given[7];
    auto sent = numbers(n), last = numbers(n), before = numbers(n);
    std::copy_n(state.get(), n, last.get());
    std::copy_n(c.get(), n, before.get());
    const Answering of = {rows[0].get(), rows[1].get(), rows[2].get(), rows[3].get(), rows[4].get(), rows[5].get()};
    each[slope][gated](spike.get(), in.get(), h.get(), v.get(), heard.get(), of, n, state.get(), c.get(), sent.get(),
                       out.get());
    for (int64_t j = 0; j < n; ++j) {
      const double theta = rows[0][j], alpha = rows[2][j], gain = rows[3][j], gamma = rows[4][j], beta = rows[5][j];
      const double by = derivative(slope, h[j], v[j] - rows[0][j], rows[1][j]);
      const double error = in[j] + by * (spike[j] + heard[j]) + (gated && v[j] >= theta ? 0 : alpha * last[j]);
      const double current = gain * error + beta * before[j];
      expect(std::abs(error - out[j]) < 1e-4 * (1 + std::abs(error)), "answer", 1, n);
      expect(std::abs(current - c[j]) < 1e-4 * (1 + std::abs(current)), "answer, current", 1, n);
      expect(std::abs(gamma * current - sent[j]) < 1e-4 * (1 + std::abs(current)) && state[j] == out[j], "sent", 1, n);
    }
  }
}

// Rows times weights in panels.
void multiplies(int64_t rows, int64_t n, int64_t m) {
  auto x = numbers(rows * n), w = numbers(n * m), to = numbers(rows * m);
  for (bool transposed : {false, true}) {
    Panels(w.get(), n, m, transposed).multiply(x.get(), rows, to.get());
    for (int64_t i = 0; i < rows * m; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k) sum += x[i / m * n + k] * w[transposed ? i % m * n + k : k * m + i % m];
      expect(std::abs(sum - to[i]) < 1e-4, "multiply", rows, n);
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
      for (float share : {0.0f, 0.1f, 1.0f}) {
        products(n, m, share);
        places(m, n, share);
      }
    }
  }
  for (int64_t rows : {1, 129}) {
    for (int64_t n : {kPlaces - 1, kPlaces, 2 * kPlaces + 1}) blocks(rows, n);
  }
  for (int64_t groups : {1, 2, 5}) {
    for (int64_t size : {1, 7, 8, 9, 63, 64, 65, 72, 128, 131}) {
      for (float share : {0.0f, 0.1f, 1.0f}) bytes(groups, size, share);
    }
  }
  all_slopes(std::make_integer_sequence<int64_t, kSlopes>());
  for (int64_t steps : {1, 2, 9}) {
    for (int64_t n : {1, 8, 31, 1024}) {
      loops<kNone>(steps, n);
      loops<kToValue>(steps, n);
      loops<kSubtract>(steps, n);
      filters(steps, n);
      spikes<kNone, true, false>(steps, n);
      spikes<kToValue, false, true>(steps, n);
      spikes<kToValue, true, true>(steps, n);
      spikes<kSubtract, true, false>(steps, n);
      spikes<kDelayed, false, false>(steps, n);
      spikes<kDelayed, true, true>(steps, n);
      couples(steps, n);
    }
  }
  for (int64_t n : {1, 15, 32, 33, 64, 70}) {
    returns<kNone>(n);
    returns<kToValue>(n);
    returns<kSubtract>(n);
    answers<false>(n);
    answers<true>(n);
    for (int64_t rows : {1, 3, 8, 17}) {
      for (int64_t m : {1, 32, 45}) multiplies(rows, n, m);
    }
  }
  std::puts("all equal");
}
