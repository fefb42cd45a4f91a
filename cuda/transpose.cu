/** transpose: a thread for each number, in the order it is read. */
#include "common.cuh"

extern "C" __global__ void transpose_exact(
  float *y,       // [I, O]
  const float *x, // [O, I]
  int O, int I
) {
  const size_t n = thread_of_grid();
  if (n < (size_t)O * I) y[n % I * O + n / I] = x[n];
}
