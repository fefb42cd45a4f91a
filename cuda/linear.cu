/**
 * linear, over weights in float32, bf16 or f16: a group for each output, whose sixteen threads are the lanes of its
 * inner product. Rows that are not chosen are not read.
 */
#include "storage.cuh"

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
