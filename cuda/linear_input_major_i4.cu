/**
 * linear_input_major_i4: a block of threads for some outputs of a token, one for each thread. Blocks of inputs are taken in
 * order; of each, the chosen inputs are rounded together, a tile at a time.
 */
#include "shared/int4.cuh"

extern "C" __global__ void linear_input_major_i4_exact(
  float *y,                    // [T, O]
  const float *x,              // [T, I]
  const unsigned char *weight, // [C, S, 32]
  const float *scales,         // [C, B, 128]
  const int *blocks,           // [I]
  const float *bias,           // [O]
  const int *inputs,           // [R]
  int, int O, int I, int R, int, int S, int B
) {
  __shared__ int tile[MOST_THREADS];
  const int threads = blockDim.x;
  const int thread = threadIdx.x;
  const int blocks_of_token = (O + threads - 1) / threads;
  const size_t t = blockIdx.x / blocks_of_token;
  const int o = blockIdx.x % blocks_of_token * threads + thread;
  const int count = inputs ? R : I;
  x += t * I;
  const auto input = [&](int r) { return inputs ? inputs[r] : r; };
  const auto block_of = [&](int r) { return blocks[input(r)]; };
  const bool ascends = never_falls(block_of, count);
  float sum = 0;
  for (int b = 0; b < B; b++) {
    const Places places = places_of_block(block_of, count, ascends, b);
    float largest = 0;
    int members = 0;
    for (int r = places.from + thread; r < places.to; r += threads) {
      if (block_of(r) != b) continue;
      largest = larger(largest, fabsf(x[input(r)]));
      members++;
    }
    if (block_total(members) == 0) continue;
    const float step = divide(block_reduce(largest, larger), BLOCK_LEVELS);
    int product = 0;
    int total = 0;
    for (int start = places.from; start < places.to; start += threads) {
      const int width = min(threads, places.to - start);
      const int own = start + thread;
      if (thread < width) tile[thread] = block_of(own) == b ? nearest_step(x[input(own)], step, BLOCK_LEVELS) : 0;
      __syncthreads();
      for (int r = 0; r < width; r++) {
        if (tile[r] == 0) continue;
        total += tile[r];
        if (o < O) product += tile[r] * number_of_unit(weight, o, input(start + r), S);
      }
      __syncthreads();
    }
    if (o >= O) continue;
    const float *own = scales + place_of_scale(o, b, B);
    const float rounded = mul(step, __int2float_rn(total));
    sum = add(sum, block_term(own[0], own[TILE_OUTPUTS], step, product, rounded));
  }
  if (o < O) y[t * O + o] = add(sum, bias ? bias[o] : 0);
}
