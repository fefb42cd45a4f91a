/**
 * Rounding to whole steps: activations to int16 (src/ops/quantized_steps.ts), rows to int8 (src/tensor/dtypes.ts).
 */
#pragma once
#include "common.cuh"

/** What 16 bits hold. */
constexpr int MOST_LEVELS = 32767;
/** Positions whose values attention_i8 adds as whole numbers. */
constexpr int VALUE_BLOCK = 64;
/** The largest float32 that times 127 is still finite. */
constexpr float LARGEST_SCALE = 2.6793883890187504e36f;

/** The larger one; NaN if one is. */
__device__ inline float larger(float a, float b) { return a != a || a > b ? a : b; }

/** The whole number of steps nearest to x, ties to even, at most `most` either way; 0 for NaN. */
__device__ inline int nearest_step(float x, float step, int most) {
  const float nearest = sub(add(divide(x, step), ROUNDER), ROUNDER);
  if (nearest != nearest) return 0;
  const float limit = __int2float_rn(most);
  return (int)fmaxf(-limit, fminf(limit, nearest));
}

/** How numbers are rounded. */
struct Steps {
  float step;
  int levels;
};

__device__ inline int round_to(Steps steps, float x) { return nearest_step(x, steps.step, steps.levels); }

/** The steps for numbers of which `count` are not zero and none is larger in size than `largest`. */
__device__ inline Steps steps_for(float largest, int count) {
  const long long fitting = count == 0 ? MOST_LEVELS : 2147483647LL / (127LL * count);
  const int levels = fitting < MOST_LEVELS ? (int)fitting : MOST_LEVELS;
  return {divide(largest, __int2float_rn(levels)), levels};
}

/** The steps for x(i), i < length. A block together; all get them. */
template <typename X> __device__ Steps block_steps(X x, int length) {
  float largest = 0;
  int count = 0;
  for (int i = threadIdx.x; i < length; i += blockDim.x) {
    const float value = x(i);
    largest = larger(largest, fabsf(value));
    count += value != 0;
  }
  largest = block_reduce(largest, larger);
  return steps_for(largest, block_total(count));
}

/** Rounds a row to int8; all get its scale, NaN if it is not finite. A block together. */
__device__ inline float quantize_row(signed char *y, const float *x, int length) {
  float largest = 0;
  for (int i = threadIdx.x; i < length; i += blockDim.x) largest = larger(largest, fabsf(x[i]));
  largest = block_reduce(largest, larger);
  const float scale = largest < INFINITY ? fminf(divide(largest, 127), LARGEST_SCALE) : NAN;
  for (int i = threadIdx.x; i < length; i += blockDim.x)
    y[i] = (signed char)(scale > 0 ? nearest_step(x[i], scale, 127) : 0);
  return scale;
}
