// The loop over time of leaky neurons that hear each other's spikes one step later, and backwards of their errors.
//
//     c[t] = beta c[t-1] + gamma s[t-1] W
//     v[t] = rest + alpha (p[t-1] - rest) + gain (x[t] + c[t]),   s[t] = [v[t] >= theta]
//
// p as in neuron_loop.cc. Of spikes, the rows of the weights are added of those that fired. Errors are dense, and
// multiplied by blocks whose sums are held in registers. Every sum runs in the order of the neurons, whatever the number
// of threads.

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "dense_product.h"
#include "neurons.h"
#include "slopes.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

constexpr int64_t kExamples = 64;  // the most examples of a task

using Square = ffi::Buffer<ffi::F32, 2>;  // (from, to)

// out[c] = the sum of the rows `fired` of a panel of weights, for its first `columns` columns.
SNNAX_EACH_TARGET void add_rows(const int32_t* fired, int64_t count, const float* panel, int64_t columns, float* out) {
  typedef Vector<8>::type Lanes;
  Lanes s0 = {}, s1 = {}, s2 = {}, s3 = {};
  for (int64_t e = 0; e < count; ++e) {
    const Lanes* row = reinterpret_cast<const Lanes*>(panel + fired[e] * kPanel);
    s0 += row[0], s1 += row[1], s2 += row[2], s3 += row[3];
  }
  float sums[kPanel];
  Lanes* to = reinterpret_cast<Lanes*>(sums);
  to[0] = s0, to[1] = s1, to[2] = s2, to[3] = s3;
  std::copy_n(sums, columns, out);
}

struct Returning {
  const float *alpha, *gain, *rest, *theta, *value, *beta, *gamma;
};

// One step of one example. `heard` is s W of the step before.
template <Reset reset>
SNNAX_EACH_TARGET void step(const float* __restrict x, const float* __restrict heard, const Returning& of, int64_t n,
                            float* __restrict state, float* __restrict c, float* __restrict out,
                            float* __restrict spikes) {
  const float *__restrict alpha = of.alpha, *__restrict gain = of.gain, *__restrict rest = of.rest;
  const float *__restrict theta = of.theta, *__restrict value = of.value;
  const float *__restrict beta = of.beta, *__restrict gamma = of.gamma;
  for (int64_t j = 0; j < n; ++j) {
    c[j] = beta[j] * c[j] + gamma[j] * heard[j];
    const float v = rest[j] + alpha[j] * (state[j] - rest[j]) + gain[j] * (x[j] + c[j]);
    out[j] = v;
    const float after = reset == kNone ? v : reset == kToValue ? value[j] : v - theta[j];
    spikes[j] = v >= theta[j] ? 1.0f : 0.0f;
    state[j] = v >= theta[j] ? after : v;
  }
}

SNNAX_EACH_TARGET int64_t fired_of(const float* v, const float* theta, int64_t n, int32_t* fired) {
  constexpr int64_t span = 16;
  int64_t count = 0;
  for (int64_t begin = 0; begin < n; begin += span) {
    const int64_t end = std::min(begin + span, n);
    int32_t any = 0;
    for (int64_t j = begin; j < end; ++j) any |= v[j] >= theta[j];
    if (!any) continue;
    for (int64_t j = begin; j < end; ++j) {
      fired[count] = static_cast<int32_t>(j);
      count += v[j] >= theta[j];
    }
  }
  return count;
}

// Calls work(first example, number of examples) for groups of examples, which share the weights that they read.
template <typename F>
void for_groups(ffi::ThreadPool& pool, int64_t examples, const F& work) {
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  const int64_t size = std::min(kExamples, (examples + threads - 1) / threads);
  for_each(pool, size ? (examples + size - 1) / size : 0, [&](int64_t task) {
    work(task * size, std::min(size, examples - task * size));
  });
}

ffi::Error recurrent_loop(ffi::ThreadPool pool, Steps x, Values v0, Values alpha, Values gain, Values rest,
                          Values theta, Values value, Values gamma, Values beta, Square w, ffi::Result<Steps> out,
                          ffi::Result<Steps> spikes, int64_t reset) {
  const int64_t steps = x.dimensions()[1], n = x.dimensions()[2];
  const auto run = reset == kNone ? step<kNone> : reset == kToValue ? step<kToValue> : step<kSubtract>;
  const Panels panels(w.typed_data(), n, n, false);
  for_groups(pool, x.dimensions()[0], [&](int64_t first, int64_t count) {
    std::vector<float> state(count * n), c(count * n), heard(count * n);
    std::vector<int32_t> fired(count * (n + 1));
    std::vector<int64_t> number(count);
    for (int64_t e = 0; e < count; ++e) std::copy_n(of_example(v0, first + e, 0), n, state.data() + e * n);
    for (int64_t t = 0; t < steps; ++t) {
      for (int64_t begin = 0; t > 0 && begin < n; begin += kPanel) {  // which stays in the cache for all examples
        const float* panel = panels.weights.data() + begin * n;
        for (int64_t e = 0; e < count; ++e) {
          add_rows(fired.data() + e * (n + 1), number[e], panel, std::min(kPanel, n - begin), heard.data() + e * n + begin);
        }
      }
      for (int64_t e = 0; e < count; ++e) {
        const int64_t example = first + e, at = (example * steps + t) * n;
        const Returning of = {of_example(alpha, example, 0), of_example(gain, example, 0), of_example(rest, example, 0),
                            of_example(theta, example, 0), of_example(value, example, 0), of_example(beta, example, 0),
                            of_example(gamma, example, 0)};
        float* v = out->typed_data() + at;
        run(x.typed_data() + at, heard.data() + e * n, of, n, state.data() + e * n, c.data() + e * n, v,
            spikes->typed_data() + at);
        number[e] = fired_of(v, of.theta, n, fired.data() + e * (n + 1));
      }
    }
  });
  return ffi::Error::Success();
}

struct Answering {
  const float *theta, *k, *alpha, *gain, *gamma, *beta;
};

// One step of one example backwards: out is the error of the drive, by that of the spikes, that of the potentials, `in`,
// and what came through the weights, `heard`; `sent` goes through them next.
//     out = in + h (spike + heard) + alpha k out',   c = gain out + beta c',   sent = gamma c
// h and k as in neuron_loop.cc. `state` holds out.
template <Slope slope, bool gated>
SNNAX_EACH_TARGET void answer(const float* __restrict spike, const float* __restrict in, const float* __restrict h,
                              const float* __restrict v, const float* __restrict heard, const Answering& of, int64_t n,
                              float* __restrict state, float* __restrict c, float* __restrict sent,
                              float* __restrict out) {
  const float *__restrict alpha = of.alpha, *__restrict gain = of.gain, *__restrict theta = of.theta;
  const float *__restrict beta = of.beta, *__restrict gamma = of.gamma, *__restrict k = of.k;
  for (int64_t j = 0; j < n; ++j) {
    const float carried = gated && v[j] >= theta[j] ? 0.0f : alpha[j] * state[j];
    out[j] = state[j] = in[j] + slope_at<slope>(h[j], v[j] - theta[j], k[j]) * (spike[j] + heard[j]) + carried;
    c[j] = gain[j] * out[j] + beta[j] * c[j];
    sent[j] = gamma[j] * c[j];
  }
}

template <int64_t... slope>
constexpr auto all_answers(std::integer_sequence<int64_t, slope...>) {
  return std::array{std::array{answer<Slope(slope), false>, answer<Slope(slope), true>}...};
}

ffi::Error returning_errors(ffi::ThreadPool pool, Steps spike, Steps in, Steps h, Steps v, Values theta, Values k,
                            Values alpha, Values gain, Values gamma, Values beta, Square w, ffi::Result<Steps> out,
                            bool gated, int64_t slope) {
  static constexpr auto each = all_answers(std::make_integer_sequence<int64_t, kSlopes>());
  const int64_t steps = spike.dimensions()[1], n = spike.dimensions()[2];
  const Panels panels(w.typed_data(), n, n, true);
  for_groups(pool, spike.dimensions()[0], [&](int64_t first, int64_t count) {
    std::vector<float> state(count * n), c(count * n), sent(count * n), heard(count * n);
    for (int64_t t = steps - 1; t >= 0; --t) {
      if (t < steps - 1) panels.multiply(sent.data(), count, heard.data());
      for (int64_t e = 0; e < count; ++e) {
        const int64_t example = first + e, at = (example * steps + t) * n;
        const Coefficient of_v = coefficient(in, example, 0), given = coefficient(h, example, 0);
        const Answering of = {of_example(theta, example, 0), of_example(k, example, 0), of_example(alpha, example, 0),
                              of_example(gain, example, 0), of_example(gamma, example, 0), of_example(beta, example, 0)};
        each[slope][gated](spike.typed_data() + at, of_v.first + t * of_v.stride, given.first + t * given.stride,
                           coefficient(v, example, 0).first + t * n, heard.data() + e * n, of, n, state.data() + e * n,
                           c.data() + e * n, sent.data() + e * n, out->typed_data() + at);
      }
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_recurrent_loop, snnax::recurrent_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Square>()
                                  .Ret<snnax::Steps>()
                                  .Ret<snnax::Steps>()
                                  .Attr<int64_t>("reset"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_returning_errors, snnax::returning_errors,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Square>()
                                  .Ret<snnax::Steps>()
                                  .Attr<bool>("gated")
                                  .Attr<int64_t>("slope"));
