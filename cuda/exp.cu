/** exp and log: a thread for each number. */
#include "shared/common.cuh"

extern "C" __global__ void exp_exact(float *y, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = exp32(x[n]);
}

extern "C" __global__ void log_exact(float *y, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = log32(x[n]);
}
