/**
 * linear_input_major_i8: a block for some outputs of a token, one for each thread. The block rounds the token's factors a
 * tile at a time.
 */
#include "shared/quantized.cuh"

extern "C" __global__ void linear_input_major_i8_exact(
  float *y,                  // [T, O]
  const float *x,            // [T, I]
  const signed char *weight, // [I, O]
  const float *scales,       // [I]
  const float *bias,         // [O]
  const int *inputs,         // [R]
  int, int O, int I, int R
) {
  __shared__ int tile[MOST_THREADS];
  const int threads = blockDim.x;
  const int blocks_of_token = (O + threads - 1) / threads;
  const size_t t = blockIdx.x / blocks_of_token;
  const int o = blockIdx.x % blocks_of_token * threads + threadIdx.x;
  const int count = inputs ? R : I;
  x += t * I;
  const auto input = [&](int r) { return inputs ? inputs[r] : r; };
  const auto factor = [&](int r) { return mul(x[input(r)], scales[input(r)]); };
  const Steps steps = block_steps(factor, count);
  int sum = 0;
  for (int start = 0; start < count; start += threads) {
    const int width = min(threads, count - start);
    if ((int)threadIdx.x < width) tile[threadIdx.x] = round_to(steps, factor(start + threadIdx.x));
    __syncthreads();
    if (o < O)
      for (int r = 0; r < width; r++) sum += tile[r] * weight[(size_t)input(start + r) * O + o];
    __syncthreads();
  }
  if (o < O) y[t * O + o] = add(mul(steps.step, __int2float_rn(sum)), bias ? bias[o] : 0);
}
