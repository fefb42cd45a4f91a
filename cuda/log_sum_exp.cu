/** log_sum_exp: a block for each row. log_sum_exp_backward: a thread for each number. */
#include "shared/rows.cuh"

extern "C" __global__ void log_sum_exp_exact(
  float *y,       // [T]
  const float *x, // [T, V]
  int, int V
) {
  x += (size_t)blockIdx.x * V;
  const float most = block_largest(x, V);
  const float total = block_sum([&](int v) { return exp32(sub(x[v], most)); }, V);
  if (threadIdx.x == 0) y[blockIdx.x] = add(most, log32(total));
}

extern "C" __global__ void log_sum_exp_backward_exact(
  float *x_grad,       // [T, V]
  const float *y_grad, // [T]
  const float *x,      // [T, V]
  const float *y,      // [T]
  int T, int V
) {
  const size_t n = thread_of_grid();
  if (n < (size_t)T * V) x_grad[n] = mul(y_grad[n / V], exp32(sub(x[n], y[n / V])));
}
