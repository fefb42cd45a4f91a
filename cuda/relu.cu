/** relu and its gradient: a thread for each number. */
#include "common.cuh"

extern "C" __global__ void relu_exact(float *y, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = x[n] > 0 ? x[n] : 0;
}

extern "C" __global__ void relu_backward_exact(float *x_grad, const float *y_grad, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) x_grad[n] = x[n] > 0 ? y_grad[n] : 0;
}
