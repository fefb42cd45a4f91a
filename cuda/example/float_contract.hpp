/**
 * The float contract (spec/parity.md): the two orders of addition, exp and tanh. The same code runs on a CPU and in a kernel.
 *
 * A product is rounded before it is added. On the CPU that takes a compiler that fuses nothing (-ffp-contract=off); in a
 * kernel the intrinsics say it.
 */

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define BOTH __host__ __device__
#else
#define BOTH
#endif

BOTH inline float plus(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

BOTH inline float times(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

// Striped: element j goes to lane j mod 16, the lanes are combined by a tree, the rest is added in order.
constexpr int LANES = 16;

BOTH inline float combine(const float *lanes) {
  float quad[4];
  for (int j = 0; j < 4; j++) quad[j] = plus(plus(lanes[j], lanes[j + 4]), plus(lanes[j + 8], lanes[j + 12]));
  return plus(plus(quad[0], quad[2]), plus(quad[1], quad[3]));
}

// The striped sum of term(i), i < length.
template <class Term> BOTH inline float striped(int length, Term term) {
  float lanes[LANES] = {};
  const int whole = length - length % LANES;
  for (int i = 0; i < whole; i++) lanes[i % LANES] = plus(lanes[i % LANES], term(i));
  float total = combine(lanes);
  for (int i = whole; i < length; i++) total = plus(total, term(i));
  return total;
}

BOTH inline float dot(const float *a, const float *b, int length) {
  return striped(length, [=](int i) { return times(a[i], b[i]); });
}

BOTH inline float sum(const float *a, int length) {
  return striped(length, [=](int i) { return a[i]; });
}

BOTH inline float sumSquaredDeviations(const float *a, int length, float center) {
  return striped(length, [=](int i) {
    const float deviation = plus(a[i], -center);
    return times(deviation, deviation);
  });
}

BOTH inline float powerOfTwo(int n) {
  const int32_t bits = (n + 127) << 23;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

BOTH inline float ratio(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

// e^x by the contract's own polynomial.
BOTH inline float exponential(float x) {
  if (x < -104.0f) return 0.0f;
  if (x > 89.0f) return INFINITY;
  if (x != x) return x;
  const float rounder = 12582912.0f; // 1.5 * 2^23: adding and taking it away rounds to a whole number
  const float n = plus(plus(times(x, 1.44269504088896341f), rounder), -rounder);
  const float r = plus(plus(x, -times(n, 0.693359375f)), -times(n, -2.12194440054690583e-4f));
  const float coefficients[5] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  float p = 1.98756915e-4f;
  for (const float coefficient : coefficients) p = plus(times(p, r), coefficient);
  const float e = plus(plus(times(p, times(r, r)), r), 1.0f);
  const int half = static_cast<int>(n) >> 1;
  return times(times(e, powerOfTwo(half)), powerOfTwo(static_cast<int>(n) - half));
}

// tanh x by the contract's own polynomial, or by its e^x.
BOTH inline float hyperbolicTangent(float x) {
  const float size = fabsf(x);
  if (size < 0.625f) {
    const float s = times(x, x);
    const float coefficients[4] = {2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f};
    float p = -5.70498872745e-3f;
    for (const float coefficient : coefficients) p = plus(times(p, s), coefficient);
    return plus(times(times(p, s), x), x);
  }
  const float e = exponential(times(-2.0f, size));
  const float y = ratio(plus(1.0f, -e), plus(1.0f, e));
  return x < 0.0f ? -y : y;
}

// A score under a cap; a cap of 0 or less is none.
BOTH inline float capped(float score, float cap) {
  return cap > 0.0f ? times(cap, hyperbolicTangent(ratio(score, cap))) : score;
}
