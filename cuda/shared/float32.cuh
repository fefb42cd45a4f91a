/**
 * The float contract on the device: each operation rounded on its own, to the nearest, never fused with another. The
 * intrinsics say so whatever the compiler's flags are. exp32, tanh32 and log32 are those of src/ops/float32.ts, step by step.
 */
#pragma once

__device__ inline float add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline float sub(float a, float b) { return __fsub_rn(a, b); }
__device__ inline float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float divide(float a, float b) { return __fdiv_rn(a, b); }

/** Adding and subtracting it rounds a small float32 to the nearest integer, ties to even: 1.5 * 2^23. */
constexpr float ROUNDER = 12582912.0f;

constexpr float LN2_HIGH = 0.693359375f;
constexpr float LN2_LOW = -2.12194440054690583e-4f;

/** 2^n, -126 <= n <= 127. */
__device__ inline float power_of_two(int n) { return __int_as_float((n + 127) << 23); }

/** e^x. */
__device__ inline float exp32(float x) {
  if (x < -104) return 0;
  if (x > 89) return INFINITY;
  if (x != x) return x;
  const float n = sub(add(mul(x, 1.44269504088896341f), ROUNDER), ROUNDER);
  const float r = sub(sub(x, mul(n, LN2_HIGH)), mul(n, LN2_LOW));
  float p = 1.98756915e-4f;
  p = add(mul(p, r), 1.3981999507e-3f);
  p = add(mul(p, r), 8.3334519073e-3f);
  p = add(mul(p, r), 4.1665795894e-2f);
  p = add(mul(p, r), 1.6666665459e-1f);
  p = add(mul(p, r), 5.0000001201e-1f);
  const float e = add(add(mul(p, mul(r, r)), r), 1);
  // The power in two halves: a subnormal result is rounded once, in the last product.
  const int half = (int)n >> 1;
  return mul(mul(e, power_of_two(half)), power_of_two((int)n - half));
}

/** tanh x. */
__device__ inline float tanh32(float x) {
  const float size = fabsf(x);
  if (size < 0.625f) {
    const float s = mul(x, x);
    float p = -5.70498872745e-3f;
    p = add(mul(p, s), 2.06390887954e-2f);
    p = add(mul(p, s), -5.37397155531e-2f);
    p = add(mul(p, s), 1.33314422036e-1f);
    p = add(mul(p, s), -3.33332819422e-1f);
    return add(mul(mul(p, s), x), x);
  }
  const float e = exp32(mul(-2, size));
  const float y = divide(sub(1, e), add(1, e));
  return x < 0 ? -y : y;
}

/** ln x. */
__device__ inline float log32(float x) {
  if (x != x || x < 0) return NAN;
  if (x == 0) return -INFINITY;
  if (x == INFINITY) return INFINITY;
  int exponent = 0;
  if (x < 1.1754943508222875e-38f) {
    x = mul(x, 8388608); // a subnormal: scaled by 2^23 into the normal range, exactly
    exponent = -23;
  }
  const int bits = __float_as_int(x);
  exponent += (bits >> 23) - 126;
  float f = __int_as_float((bits & 0x007fffff) | 0x3f000000); // in [0.5, 1)
  if (f < 0.707106781186547524f) {
    exponent -= 1;
    f = sub(add(f, f), 1);
  } else {
    f = sub(f, 1);
  }
  const float square = mul(f, f);
  float p = 7.0376836292e-2f;
  p = add(mul(p, f), -1.151461031e-1f);
  p = add(mul(p, f), 1.167699874e-1f);
  p = add(mul(p, f), -1.2420140846e-1f);
  p = add(mul(p, f), 1.4249322787e-1f);
  p = add(mul(p, f), -1.6668057665e-1f);
  p = add(mul(p, f), 2.0000714765e-1f);
  p = add(mul(p, f), -2.4999993993e-1f);
  p = add(mul(p, f), 3.3333331174e-1f);
  const float shift = __int2float_rn(exponent);
  float y = mul(mul(p, f), square);
  y = add(y, mul(shift, LN2_LOW));
  y = sub(y, mul(square, 0.5f));
  return add(add(f, y), mul(shift, LN2_HIGH));
}
