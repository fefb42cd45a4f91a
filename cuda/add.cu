/** add: a thread for each number. */
#include "shared/common.cuh"

extern "C" __global__ void add_exact(float *y, const float *a, const float *b, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = add(a[n], b[n]);
}
