/**
 * linear_backward_weight, linear_backward_bias: a thread for each number of a chosen row, which goes through the tokens
 * in order.
 */
#include "common.cuh"

extern "C" __global__ void linear_backward_weight_exact(
  float *weight_grad,  // [O, I]
  const float *y_grad, // [T, O]
  const float *x,      // [T, I]
  const int *rows,     // [R], ascending
  int T, int O, int I, int R
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)(rows ? R : O) * I) return;
  const size_t r = n / I;
  const size_t i = n % I;
  const size_t o = rows ? rows[r] : r;
  float sum = weight_grad[o * I + i];
  for (size_t t = 0; t < (size_t)T; t++) sum = add(sum, mul(y_grad[t * O + o], x[t * I + i]));
  weight_grad[o * I + i] = sum;
}

extern "C" __global__ void linear_backward_bias_exact(
  float *bias_grad,    // [O]
  const float *y_grad, // [T, O]
  const int *rows,     // [R], ascending
  int T, int O, int R
) {
  const size_t r = thread_of_grid();
  if (r >= (size_t)(rows ? R : O)) return;
  const size_t o = rows ? rows[r] : r;
  float sum = bias_grad[o];
  for (size_t t = 0; t < (size_t)T; t++) sum = add(sum, y_grad[t * O + o]);
  bias_grad[o] = sum;
}
