// The loop over time of leaky neurons, whether they fire or not, and backwards of what their spikes and potentials do to
// an error; and a linear recurrence.
//
//     v[t] = rest + alpha (p[t-1] - rest) + gain x[t],   p = v where v < theta, and else what the reset makes of it
//
// v are the potentials before the reset, and the spikes are 1 where v >= theta.

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "neurons.h"
#include "slopes.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

struct Neurons {
  const float* alpha;
  const float* gain;
  const float* rest;
  const float* theta;
  const float* value;
};

SNNAX_EACH_TARGET void leak(const float* __restrict x, const Neurons& of, int64_t steps, int64_t stride, int64_t n,
                            float* __restrict state, float* __restrict out) {
  const float *__restrict alpha = of.alpha, *__restrict gain = of.gain, *__restrict rest = of.rest;
  for (int64_t t = 0; t < steps; ++t, x += stride, out += stride) {
    for (int64_t j = 0; j < n; ++j) {
      out[j] = state[j] = rest[j] + alpha[j] * (state[j] - rest[j]) + gain[j] * x[j];
    }
  }
}

template <Reset reset>
SNNAX_EACH_TARGET void fire(const float* __restrict x, const Neurons& of, int64_t steps, int64_t stride, int64_t n,
                            float* __restrict state, float* __restrict out, float* __restrict spikes) {
  const float *__restrict alpha = of.alpha, *__restrict gain = of.gain, *__restrict rest = of.rest;
  const float *__restrict theta = of.theta, *__restrict value = of.value;
  for (int64_t t = 0; t < steps; ++t, x += stride, out += stride, spikes += stride) {
    for (int64_t j = 0; j < n; ++j) {
      const float v = rest[j] + alpha[j] * (state[j] - rest[j]) + gain[j] * x[j];
      const float after = reset == kNone ? v : reset == kToValue ? value[j] : v - theta[j];
      out[j] = v;
      spikes[j] = v >= theta[j] ? 1.0f : 0.0f;
      state[j] = v >= theta[j] ? after : v;
    }
  }
}

// What an error of the spikes and one of the potentials, in or nowhere, are as errors of the drive:
//     out[t] = in[t] + h[t] spike[t] + alpha k[t] out[t+1]
// where h is the derivative of the surrogate, and k is 0 after a spike that resets to a value and 1 otherwise.
template <Slope slope, bool gated>
SNNAX_EACH_TARGET void errors(const float* __restrict spike, Coefficient in, Coefficient h, const float* __restrict v,
                              const float* __restrict theta, const float* __restrict k, const float* __restrict alpha,
                              int64_t steps, int64_t stride, int64_t n, float* __restrict state,
                              float* __restrict out) {
  for (int64_t t = steps - 1; t >= 0; --t) {
    const int64_t at = t * stride;
    const float *__restrict of_v = in.first + t * in.stride, *__restrict given = h.first + t * h.stride;
    for (int64_t j = 0; j < n; ++j) {
      const float x = v[at + j] - theta[j];
      const float carried = gated && v[at + j] >= theta[j] ? 0.0f : alpha[j] * state[j];
      out[at + j] = state[j] = of_v[j] + slope_at<slope>(given[j], x, k[j]) * spike[at + j] + carried;
    }
  }
}

template <int64_t... slope>
constexpr auto all_errors(std::integer_sequence<int64_t, slope...>) {
  return std::array{std::array{errors<Slope(slope), false>, errors<Slope(slope), true>}...};
}

// out[t] = u[t] + c[t-1] out[t-1], or, backwards, out[t] = u[t] + c[t] out[t+1].
template <bool backwards>
SNNAX_EACH_TARGET void moved(const float* __restrict u, Coefficient c, int64_t steps, int64_t stride, int64_t n,
                             float* __restrict state, float* __restrict out) {
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = backwards ? steps - 1 - i : i, at = t * stride;
    const float* __restrict factor = c.first + t * c.stride;
    for (int64_t j = 0; j < n; ++j) {
      if (backwards) {
        out[at + j] = state[j] = u[at + j] + factor[j] * state[j];
      } else {
        const float sum = u[at + j] + state[j];
        out[at + j] = sum;
        state[j] = factor[j] * sum;
      }
    }
  }
}

ffi::Error leaky_loop(ffi::ThreadPool pool, Steps x, Values v0, Values alpha, Values gain, Values rest,
                      ffi::Result<Steps> out) {
  const int64_t steps = x.dimensions()[1], n = x.dimensions()[2];
  for_neurons(pool, x, [&](int64_t example, int64_t first, int64_t count) {
    float state[kColumns];
    std::copy_n(of_example(v0, example, first), count, state);
    const Neurons of = {of_example(alpha, example, first), of_example(gain, example, first),
                        of_example(rest, example, first), nullptr, nullptr};
    const int64_t begin = example * steps * n + first;
    leak(x.typed_data() + begin, of, steps, n, count, state, out->typed_data() + begin);
  });
  return ffi::Error::Success();
}

ffi::Error firing_loop(ffi::ThreadPool pool, Steps x, Values v0, Values alpha, Values gain, Values rest, Values theta,
                       Values value, ffi::Result<Steps> out, ffi::Result<Steps> spikes, int64_t reset) {
  const int64_t steps = x.dimensions()[1], n = x.dimensions()[2];
  for_neurons(pool, x, [&](int64_t example, int64_t first, int64_t count) {
    float state[kColumns];
    std::copy_n(of_example(v0, example, first), count, state);
    const Neurons of = {of_example(alpha, example, first), of_example(gain, example, first),
                        of_example(rest, example, first), of_example(theta, example, first),
                        of_example(value, example, first)};
    const int64_t begin = example * steps * n + first;
    const auto run = reset == kNone ? fire<kNone> : reset == kToValue ? fire<kToValue> : fire<kSubtract>;
    run(x.typed_data() + begin, of, steps, n, count, state, out->typed_data() + begin, spikes->typed_data() + begin);
  });
  return ffi::Error::Success();
}

ffi::Error spike_errors(ffi::ThreadPool pool, Steps spike, Steps in, Steps h, Steps v, Values theta, Values k,
                        Values alpha, ffi::Result<Steps> out, bool gated, int64_t slope) {
  static constexpr auto each = all_errors(std::make_integer_sequence<int64_t, kSlopes>());
  const int64_t steps = spike.dimensions()[1], n = spike.dimensions()[2];
  for_neurons(pool, spike, [&](int64_t example, int64_t first, int64_t count) {
    float state[kColumns] = {};
    const int64_t begin = example * steps * n + first;
    each[slope][gated](spike.typed_data() + begin, coefficient(in, example, first), coefficient(h, example, first),
                       coefficient(v, example, first).first, of_example(theta, example, first),
                       of_example(k, example, first), of_example(alpha, example, first), steps, n, count, state,
                       out->typed_data() + begin);
  });
  return ffi::Error::Success();
}

ffi::Error moved_loop(ffi::ThreadPool pool, Steps u, Steps factor, ffi::Result<Steps> out, bool backwards) {
  const int64_t steps = u.dimensions()[1], n = u.dimensions()[2];
  for_neurons(pool, u, [&](int64_t example, int64_t first, int64_t count) {
    float state[kColumns] = {};
    const int64_t begin = example * steps * n + first;
    const auto run = backwards ? moved<true> : moved<false>;
    run(u.typed_data() + begin, coefficient(factor, example, first), steps, n, count, state, out->typed_data() + begin);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_leaky_loop, snnax::leaky_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Ret<snnax::Steps>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_firing_loop, snnax::firing_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Ret<snnax::Steps>()
                                  .Ret<snnax::Steps>()
                                  .Attr<int64_t>("reset"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_spike_errors, snnax::spike_errors,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Ret<snnax::Steps>()
                                  .Attr<bool>("gated")
                                  .Attr<int64_t>("slope"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_moved_loop, snnax::moved_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Ret<snnax::Steps>()
                                  .Attr<bool>("backwards"));
