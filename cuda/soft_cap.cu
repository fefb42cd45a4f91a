/** soft_cap and its gradient: a thread for each number. */
#include "shared/attention.cuh"

extern "C" __global__ void soft_cap_exact(float *y, const float *x, float cap, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = cap_score(x[n], cap);
}

extern "C" __global__ void soft_cap_backward_exact(
  float *x_grad,       // [N]
  const float *y_grad, // [N]
  const float *x,      // [N]
  float cap,
  int N
) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) x_grad[n] = cap > 0 ? mul(y_grad[n], cap_slope(x[n], cap)) : y_grad[n];
}
