/**
 * linear, over weights in float32, bf16 or f16: a group for each output, whose sixteen threads are the lanes of its
 * inner product. Rows that are not chosen are not read.
 *
 * linear_backward_weight, linear_backward_bias: a thread for each number of a chosen row, which goes through the tokens
 * in order.
 */
#include "shared/storage.cuh"

template <typename Stored>
__device__ void linear_of_rows(
  float *y,             // [T, O]
  const float *x,       // [T, I]
  const Stored *weight, // [O, I]
  const float *bias,    // [O]
  const int *rows,      // [R], ascending
  int T, int O, int I, int R
) {
  const size_t output = (size_t)blockIdx.x * groups_of_block() + group_of_block();
  if (output >= (size_t)T * O) return;
  const int o = output % O;
  if (!is_chosen(rows, R, o)) {
    if (lane_of_group() == 0) y[output] = 0;
    return;
  }
  x += output / O * I;
  weight += (size_t)o * I;
  const float product = group_sum([&](int i) { return mul(x[i], widen(weight[i])); }, I);
  if (lane_of_group() == 0) y[output] = bias ? add(product, bias[o]) : product;
}

#define LINEAR(name, Stored)                                                                                           \
  extern "C" __global__ void name(                                                                                     \
    float *y, const float *x, const Stored *weight, const float *bias, const int *rows, int T, int O, int I, int R     \
  ) {                                                                                                                  \
    linear_of_rows(y, x, weight, bias, rows, T, O, I, R);                                                              \
  }

LINEAR(linear_exact, float)
LINEAR(linear_bf16_exact, bf16)
LINEAR(linear_f16_exact, f16)

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
