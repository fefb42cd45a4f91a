/**
 * linear_input_major, over weights in float32, bf16 or f16: a thread for each output, which adds its terms in order.
 * Neighbours read neighbouring weights.
 */
#include "shared/storage.cuh"

template <typename Stored>
__device__ void linear_of_inputs(
  float *y,             // [T, O]
  const float *x,       // [T, I]
  const Stored *weight, // [I, O]
  const float *bias,    // [O]
  const int *inputs,    // [R], in the order of the sum
  int T, int O, int I, int R
) {
  const size_t output = thread_of_grid();
  if (output >= (size_t)T * O) return;
  const size_t o = output % O;
  x += output / O * I;
  const int count = inputs ? R : I;
  float sum = 0;
  for (int r = 0; r < count; r++) {
    const size_t i = inputs ? inputs[r] : r;
    sum = add(sum, mul(x[i], widen(weight[i * O + o])));
  }
  y[output] = bias ? add(sum, bias[o]) : sum;
}

#define LINEAR_INPUT_MAJOR(name, Stored)                                                                               \
  extern "C" __global__ void name(                                                                                     \
    float *y, const float *x, const Stored *weight, const float *bias, const int *inputs, int T, int O, int I, int R   \
  ) {                                                                                                                  \
    linear_of_inputs(y, x, weight, bias, inputs, T, O, I, R);                                                          \
  }

LINEAR_INPUT_MAJOR(linear_input_major_exact, float)
LINEAR_INPUT_MAJOR(linear_input_major_bf16_exact, bf16)
LINEAR_INPUT_MAJOR(linear_input_major_f16_exact, f16)
