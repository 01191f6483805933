// The derivatives of surrogates, of which a loop needs no array: h of x, the potential less the threshold, and k.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace snnax {

enum Slope : int64_t {
  kGiven = 0,  // as an array
  kStraightThrough,
  kLeakyStep,
  kLogTailed,
  kTriangular,
  kBoxcar,
  kSuperSpike,
  kArcTan,
  kSigmoid,
  kExponential,
  kGaussian,
  kSlopes,  // their number
};

// e^-a for a >= 0, and not less than the smallest normal number. Polynomial: S. Moshier, Cephes (1992), expf.
inline float exp_of_minus(float a) {
  constexpr float whole = 12582912.0f;  // to which a float adds itself rounded to a whole number
  a = a > 87.0f ? 87.0f : a;
  const float shifted = a * -1.44269504f + whole, n = shifted - whole;
  const float r = (-a - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  uint32_t bits;  // those of `whole` and n together
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return (p * r * r + r + 1.0f) * power;
}

template <Slope slope>
inline float slope_at(float given, float x, float k) {
  switch (slope) {
    case kStraightThrough: return 1.0f;
    case kLeakyStep: return x >= 0 ? 1.0f : k;
    case kLogTailed: return x < 0 ? 0.0f : 1.0f / (k * x < 1.0f ? 1.0f : k * x);
    case kTriangular: {
      const float height = 1.0f - k * std::abs(x);
      return height < 0 ? 0.0f : height;
    }
    case kBoxcar: return std::abs(x) < 1.0f / (2.0f * k) ? k : 0.0f;
    case kSuperSpike: {
      const float below = 1.0f + k * std::abs(x);
      return 1.0f / (below * below);
    }
    case kArcTan: {
      const float u = 1.57079633f * k * x;
      return 0.5f * k / (1.0f + u * u);
    }
    case kSigmoid: {
      const float e = exp_of_minus(k * std::abs(x));
      return k * e / ((1.0f + e) * (1.0f + e));
    }
    case kExponential: return 0.5f * k * exp_of_minus(k * std::abs(x));
    case kGaussian: return 0.398942280f * k * exp_of_minus(0.5f * (k * x) * (k * x));
    default: return given;
  }
}

}  // namespace snnax
