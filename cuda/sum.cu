/** sum: one block. */
#include "shared/common.cuh"

extern "C" __global__ void sum_exact(float *total, const float *x, int N) {
  const float sum = block_sum([&](int n) { return x[n]; }, N);
  if (threadIdx.x == 0) *total = add(*total, sum);
}
