/**
 * What ops over rows share: the exponentials of softmax, the moments of layer norm.
 */
#pragma once
#include "common.cuh"

/**
 * y[i] = e^(x[i] - max x), i < length; x may be y. A block together; all get the sum, and see y.
 */
__device__ inline float exponentials(float *y, const float *x, int length) {
  const float most = block_largest(x, length);
  for (int i = threadIdx.x; i < length; i += blockDim.x) y[i] = exp32(sub(x[i], most));
  __syncthreads();
  return block_sum([&](int i) { return y[i]; }, length);
}

struct Moments {
  float mean;
  /** 1 / sqrt(variance + epsilon) */
  float scale;
};

/** The moments of a row, its sums by group_sum or block_sum. Whoever that takes together; all get them. */
template <typename Sum> __device__ Moments moments(const float *x, float epsilon, int D, Sum sum) {
  const float width = __int2float_rn(D);
  const float mean = divide(sum([&](int d) { return x[d]; }, D), width);
  const float variance = divide(
    sum(
      [&](int d) {
        const float deviation = sub(x[d], mean);
        return mul(deviation, deviation);
      },
      D
    ),
    width
  );
  return {mean, divide(1, __fsqrt_rn(add(variance, epsilon)))};
}
