// The loop over time of leaky neurons that fire with whatever resets, rests and adaptation, and of two states that move
// together.
//
//     v = rest + alpha (p - rest) + gain x + drives a,       z = v - raises a - lowered (theta + raises a)
//     a = rho a + follows (v - rest) + adds s,               p = v where z < theta, and else what the reset makes of it
//
// with p and a on the right those of the step before. While a neuron rests, v is p and nothing fires. The outputs are
// what is compared with the threshold, z, and, in a mark, what cannot be told from it: whether the neuron rests (1) and
// whether an earlier step has lowered z (2).

#include <algorithm>
#include <cstdint>
#include <limits>

#include "neurons.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

using Marks = ffi::Buffer<ffi::U8, 3>;    // (examples, time, neurons), or without time where there are none
using Countdowns = ffi::Buffer<ffi::S32, 2>;  // (examples or 1, neurons)

struct Spiking {
  const float* alpha;
  const float* gain;
  const float* rest;
  const float* theta;
  const float* value;
  const float* rho;
  const float* raises;
  const float* drives;
  const float* follows;
  const float* adds;
};

// `last` is the adaptation that acts in the last step.
template <Reset reset, bool adapts, bool rests>
SNNAX_EACH_TARGET void spike(const float* __restrict x, const Spiking& of, int32_t refractory, int64_t steps,
                             int64_t stride, int64_t n, float* __restrict p, float* __restrict a,
                             int32_t* __restrict countdown, float* __restrict out, uint8_t* __restrict marks,
                             float* __restrict last) {
  const float *__restrict alpha = of.alpha, *__restrict gain = of.gain, *__restrict rest = of.rest;
  const float *__restrict theta = of.theta, *__restrict value = of.value, *__restrict rho = of.rho;
  const float *__restrict raises = of.raises, *__restrict drives = of.drives;
  const float *__restrict follows = of.follows, *__restrict adds = of.adds;
  float held[kColumns], bar[kColumns];  // of those that rest: the potential, and what it never reaches
  std::copy_n(a, n, last);
  for (int64_t t = 0; t < steps; ++t, x += stride, out += stride, marks += rests || reset == kDelayed ? stride : 0) {
    if (adapts && t == steps - 1) std::copy_n(a, n, last);
    // Loops without a branch, so that each is done for many neurons at a time.
    if (rests) {
      for (int64_t j = 0; j < n; ++j) bar[j] = countdown[j] > 0 ? std::numeric_limits<float>::quiet_NaN() : theta[j];
      for (int64_t j = 0; j < n; ++j) {
        const float v = rest[j] + alpha[j] * (p[j] - rest[j]) + gain[j] * x[j] + (adapts ? drives[j] * a[j] : 0.0f);
        held[j] = countdown[j] > 0 ? p[j] : v;
      }
    }
    for (int64_t j = 0; j < n; ++j) {
      const float before = p[j], current = adapts ? a[j] : 0.0f, reached = rests ? bar[j] : theta[j];
      const float integrated = rest[j] + alpha[j] * (before - rest[j]) + gain[j] * x[j] + (adapts ? drives[j] * current : 0.0f);
      const float v = rests ? held[j] : integrated;
      const float raised = adapts ? raises[j] * current : 0.0f, threshold = theta[j] + raised;
      const bool lowered = (reset == kDelayed) & (before >= threshold);
      const float low = lowered ? threshold : 0.0f, z = v - raised - low;
      const float after = reset == kNone ? v : reset == kToValue ? value[j] : v - threshold;
      out[j] = z;
      if (reset == kDelayed) marks[j] = lowered ? 2 : 0;
      p[j] = z >= reached ? after : v;
      if (adapts) {
        const float added = z >= reached ? adds[j] : 0.0f;
        a[j] = rho[j] * current + follows[j] * (v - rest[j]) + added;
      }
    }
    if (rests) {
      for (int64_t j = 0; j < n; ++j) {
        const uint8_t lowered = reset == kDelayed ? marks[j] : 0, resting = countdown[j] > 0 ? 1 : 0;
        marks[j] = lowered + resting;
      }
      for (int64_t j = 0; j < n; ++j) {
        const int32_t left = countdown[j] - (countdown[j] > 0 ? 1 : 0);
        countdown[j] = out[j] >= bar[j] ? refractory : left;
      }
    }
  }
}

// z[t] = u[t] + c11[t-1] z[t-1] + c12[t-1] a[t-1] and a[t] = c21[t-1] z[t-1] + c22[t-1] a[t-1]; or, backwards, z[t] =
// u[t] + c11[t] z[t+1] + c21[t] a[t+1] and a[t] = c12[t] z[t+1] + c22[t] a[t+1]. `a` is given for the first step that is
// taken, and becomes that of the last.
template <bool backwards>
SNNAX_EACH_TARGET void couple(const float* __restrict u, const Coefficient* c, int64_t steps, int64_t stride, int64_t n,
                              float* __restrict z, float* __restrict a, float* __restrict out) {
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = backwards ? steps - 1 - i : i, from = backwards ? t : t - 1;
    if (i > 0) {
      const float *__restrict c11 = c[0].first + from * c[0].stride, *__restrict c12 = c[1].first + from * c[1].stride;
      const float *__restrict c21 = c[2].first + from * c[2].stride, *__restrict c22 = c[3].first + from * c[3].stride;
      for (int64_t j = 0; j < n; ++j) {
        const float into_z = backwards ? c21[j] : c12[j], into_a = backwards ? c12[j] : c21[j];
        const float sum = u[t * stride + j] + c11[j] * z[j] + into_z * a[j];
        a[j] = into_a * z[j] + c22[j] * a[j];
        out[t * stride + j] = z[j] = sum;
      }
    } else {
      std::copy_n(u + t * stride, n, z);
      std::copy_n(z, n, out + t * stride);
    }
  }
}

template <bool adapts, bool rests>
auto spiking(int64_t reset) {
  return reset == kNone      ? spike<kNone, adapts, rests>
         : reset == kToValue ? spike<kToValue, adapts, rests>
         : reset == kDelayed ? spike<kDelayed, adapts, rests>
                             : spike<kSubtract, adapts, rests>;
}

ffi::Error spiking_loop(ffi::ThreadPool pool, Steps x, Values v0, Values a0, Countdowns countdown0, Values alpha, Values gain,
                        Values rest, Values theta, Values value, Values rho, Values raises, Values drives, Values follows,
                        Values adds, ffi::Result<Steps> out, ffi::Result<Marks> marks, ffi::Result<Values> last,
                        ffi::Result<Countdowns> countdown, int64_t reset, int64_t refractory, bool adapts) {
  const int64_t steps = x.dimensions()[1], n = x.dimensions()[2];
  const bool marked = reset == kDelayed || refractory > 0;
  for_neurons(pool, x, [&](int64_t example, int64_t first, int64_t count) {
    float p[kColumns], a[kColumns];
    std::copy_n(of_example(v0, example, first), count, p);
    std::copy_n(of_example(a0, example, first), count, a);
    const int64_t row = example * n + first, begin = example * steps * n + first;
    int32_t* counts = countdown->typed_data() + row;
    std::copy_n(of_example(countdown0, example, first), count, counts);
    const Spiking of = {of_example(alpha, example, first),  of_example(gain, example, first),
                        of_example(rest, example, first),   of_example(theta, example, first),
                        of_example(value, example, first),  of_example(rho, example, first),
                        of_example(raises, example, first), of_example(drives, example, first),
                        of_example(follows, example, first), of_example(adds, example, first)};
    const auto run = adapts ? (refractory ? spiking<true, true>(reset) : spiking<true, false>(reset))
                            : (refractory ? spiking<false, true>(reset) : spiking<false, false>(reset));
    run(x.typed_data() + begin, of, static_cast<int32_t>(refractory), steps, n, count, p, a, counts,
        out->typed_data() + begin, marked ? marks->typed_data() + begin : nullptr, last->typed_data() + row);
  });
  return ffi::Error::Success();
}

ffi::Error coupled_loop(ffi::ThreadPool pool, Steps u, Values a0, Steps c11, Steps c12, Steps c21, Steps c22,
                        ffi::Result<Steps> out, ffi::Result<Values> last, bool backwards) {
  const int64_t steps = u.dimensions()[1], n = u.dimensions()[2];
  for_neurons(pool, u, [&](int64_t example, int64_t first, int64_t count) {
    float z[kColumns];
    const int64_t begin = example * steps * n + first;
    float* a = last->typed_data() + example * n + first;
    std::copy_n(of_example(a0, example, first), count, a);
    const Coefficient c[] = {coefficient(c11, example, first), coefficient(c12, example, first),
                             coefficient(c21, example, first), coefficient(c22, example, first)};
    const auto run = backwards ? couple<true> : couple<false>;
    run(u.typed_data() + begin, c, steps, n, count, z, a, out->typed_data() + begin);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_spiking_loop, snnax::spiking_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Countdowns>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Values>()
                                  .Ret<snnax::Steps>()
                                  .Ret<snnax::Marks>()
                                  .Ret<snnax::Values>()
                                  .Ret<snnax::Countdowns>()
                                  .Attr<int64_t>("reset")
                                  .Attr<int64_t>("refractory")
                                  .Attr<bool>("adapts"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_coupled_loop, snnax::coupled_loop,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Values>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Arg<snnax::Steps>()
                                  .Ret<snnax::Steps>()
                                  .Ret<snnax::Values>()
                                  .Attr<bool>("backwards"));
