/** mask_units: a thread for each number. */
#include "shared/common.cuh"

extern "C" __global__ void mask_units_exact(
  float *y,          // [T, U, K]
  const float *x,    // [T, U, K]
  const float *mask, // [U]
  int T, int U, int K
) {
  const size_t n = thread_of_grid();
  if (n < (size_t)T * U * K) y[n] = mul(x[n], mask[n / K % U]);
}
