/**
 * linear_i8: a block for some outputs of a token, OUTPUTS for each of its warps. The block rounds the token's inputs a
 * tile at a time; the 32 threads of a warp share an exact sum, which has no order.
 */
#include "shared/quantized.cuh"

/** Outputs of a warp. */
constexpr int OUTPUTS = 8;

extern "C" __global__ void linear_i8_exact(
  float *y,                  // [T, O]
  const float *x,            // [T, I]
  const signed char *weight, // [O, I]
  const float *scales,       // [O]
  const float *bias,         // [O]
  const int *rows,           // [R], ascending
  int, int O, int I, int R
) {
  __shared__ int tile[MOST_THREADS];
  const int threads = blockDim.x;
  const int lane = threadIdx.x % WARP;
  const int outputs_of_block = threads / WARP * OUTPUTS;
  const int blocks_of_token = (O + outputs_of_block - 1) / outputs_of_block;
  const size_t t = blockIdx.x / blocks_of_token;
  const int first = blockIdx.x % blocks_of_token * outputs_of_block + (int)threadIdx.x / WARP * OUTPUTS;
  x += t * I;
  y += t * O;
  bool chosen[OUTPUTS];
  int sums[OUTPUTS] = {};
  for (int n = 0; n < OUTPUTS; n++) chosen[n] = first + n < O && is_chosen(rows, R, first + n);
  const Steps steps = block_steps([&](int i) { return x[i]; }, I);
  for (int start = 0; start < I; start += threads) {
    const int width = min(threads, I - start);
    if ((int)threadIdx.x < width) tile[threadIdx.x] = round_to(steps, x[start + threadIdx.x]);
    __syncthreads();
    for (int n = 0; n < OUTPUTS; n++) {
      if (!chosen[n]) continue;
      const signed char *row = weight + (size_t)(first + n) * I + start;
      for (int i = lane; i < width; i += WARP) sums[n] += tile[i] * row[i];
    }
    __syncthreads();
  }
  for (int n = 0; n < OUTPUTS; n++) {
    const int sum = warp_total(sums[n]);
    const int o = first + n;
    if (lane != 0 || o >= O) continue;
    const float product = chosen[n] ? mul(mul(steps.step, scales[o]), __int2float_rn(sum)) : 0;
    y[o] = chosen[n] ? add(product, bias ? bias[o] : 0) : 0;
  }
}
