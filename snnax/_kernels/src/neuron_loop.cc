// The loop over time of leaky neurons that fire, and of what moves with their potential.
//
//     v[t] = rest + alpha (p[t-1] - rest) + gain x[t],   p = v where v < theta, and else what the reset makes of it
//
// The outputs are the potentials v before the reset, of which the spikes and all else follow entry by entry.

#include <algorithm>
#include <cstdint>

#include "neurons.h"

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

template <Reset reset>
SNNAX_EACH_TARGET void forward(const float* __restrict x, const Neurons& of, int64_t steps, int64_t stride, int64_t n,
                               float* __restrict state, float* __restrict out) {
  const float *__restrict alpha = of.alpha, *__restrict gain = of.gain, *__restrict rest = of.rest;
  const float *__restrict theta = of.theta, *__restrict value = of.value;
  for (int64_t t = 0; t < steps; ++t, x += stride, out += stride) {
    for (int64_t j = 0; j < n; ++j) {
      const float v = rest[j] + alpha[j] * (state[j] - rest[j]) + gain[j] * x[j];
      out[j] = v;
      if (reset == kNone) {
        state[j] = v;
      } else {
        const float after = reset == kToValue ? value[j] : v - theta[j];
        state[j] = v >= theta[j] ? after : v;
      }
    }
  }
}

// out[t] = u[t] + c[t-1] k[t-1] out[t-1], or, backwards, out[t] = u[t] + c[t] k[t] out[t+1], where k is 0 after a spike
// that resets to a value and 1 otherwise.
template <bool keeps, bool backwards>
SNNAX_EACH_TARGET void moved(const float* __restrict u, const float* __restrict v, Coefficient c,
                             const float* __restrict theta, int64_t steps, int64_t stride, int64_t n,
                             float* __restrict state, float* __restrict out) {
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = backwards ? steps - 1 - i : i, at = t * stride;
    const float* __restrict factor = c.first + t * c.stride;
    for (int64_t j = 0; j < n; ++j) {
      const bool cut = !keeps && v[at + j] >= theta[j];
      if (backwards) {
        out[at + j] = state[j] = u[at + j] + (cut ? 0.0f : factor[j] * state[j]);
      } else {
        const float sum = u[at + j] + state[j];
        out[at + j] = sum;
        state[j] = cut ? 0.0f : factor[j] * sum;
      }
    }
  }
}

ffi::Error neuron_loop(ffi::ThreadPool pool, Steps x, Values v0, Values alpha, Values gain, Values rest, Values theta,
                       Values value, ffi::Result<Steps> out, int64_t reset) {
  const int64_t steps = x.dimensions()[1], n = x.dimensions()[2];
  for_neurons(pool, x, [&](int64_t example, int64_t first, int64_t count) {
    float state[kColumns];
    std::copy_n(of_example(v0, example, first), count, state);
    const Neurons of = {of_example(alpha, example, first), of_example(gain, example, first),
                        of_example(rest, example, first), of_example(theta, example, first),
                        of_example(value, example, first)};
    const int64_t begin = example * steps * n + first;
    const auto run = reset == kNone ? forward<kNone> : reset == kToValue ? forward<kToValue> : forward<kSubtract>;
    run(x.typed_data() + begin, of, steps, n, count, state, out->typed_data() + begin);
  });
  return ffi::Error::Success();
}

void move(ffi::ThreadPool& pool, const Steps& u, const Steps* v, const Steps& factor, const Values* theta, float* out,
          bool backwards) {
  const int64_t steps = u.dimensions()[1], n = u.dimensions()[2];
  for_neurons(pool, u, [&](int64_t example, int64_t first, int64_t count) {
    float state[kColumns] = {};
    const int64_t begin = example * steps * n + first;
    const auto run = v ? (backwards ? moved<false, true> : moved<false, false>)
                       : (backwards ? moved<true, true> : moved<true, false>);
    run(u.typed_data() + begin, v ? coefficient(*v, example, first).first : nullptr, coefficient(factor, example, first),
        theta ? of_example(*theta, example, first) : nullptr, steps, n, count, state, out + begin);
  });
}

ffi::Error moved_loop(ffi::ThreadPool pool, Steps u, Steps factor, ffi::Result<Steps> out, bool backwards) {
  move(pool, u, nullptr, factor, nullptr, out->typed_data(), backwards);
  return ffi::Error::Success();
}

ffi::Error gated_loop(ffi::ThreadPool pool, Steps u, Steps factor, Steps v, Values theta, ffi::Result<Steps> out,
                      bool backwards) {
  move(pool, u, &v, factor, &theta, out->typed_data(), backwards);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_neuron_loop, snnax::neuron_loop,
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
                                  .Attr<int64_t>("reset"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_moved_loop, snnax::moved_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Ret<snnax::Steps>()
                                  .Attr<bool>("backwards"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_gated_loop, snnax::gated_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Ret<snnax::Steps>()
                                  .Attr<bool>("backwards"));
