/**
 * linear_i4: a warp for four rows of a token, which lie side by side. It rounds the token's inputs a block at a time, and
 * its threads share the exact sum of the products of a block. Bytes of rows that are not chosen are not read.
 */
#include "shared/int4.cuh"

extern "C" __global__ void linear_i4_exact(
  float *y,                    // [T, O]
  const float *x,              // [T, I]
  const unsigned char *weight, // [G, B, 80]
  const float *bias,           // [O]
  const int *rows,             // [R], ascending
  int T, int O, int I, int R, int G, int B
) {
  const size_t quad = thread_of_grid() / WARP;
  if (quad >= (size_t)T * G) return;
  const int lane = threadIdx.x % WARP;
  const int first = quad % G * QUAD_ROWS;
  x += quad / G * I;
  y += quad / G * O;
  weight += quad % G * B * QUAD_BYTES;
  bool chosen[QUAD_ROWS];
  float sums[QUAD_ROWS] = {};
  for (int n = 0; n < QUAD_ROWS; n++) chosen[n] = first + n < O && is_chosen(rows, R, first + n);
  for (int b = 0; b < B; b++, weight += QUAD_BYTES) {
    const int i = b * BLOCK_NUMBERS + lane;
    const RoundedBlock q = round_block(i < I ? x[i] : 0);
    for (int n = 0; n < QUAD_ROWS; n++) {
      if (!chosen[n]) continue;
      const int product = warp_total(q.steps * number_of_row(weight, n, lane));
      const float term = block_term(scale_of_row(weight, n), minimum_of_row(weight, n), q.step, product, q.sum);
      sums[n] = add(sums[n], term);
    }
  }
  for (int n = 0; n < QUAD_ROWS; n++) {
    const int o = first + n;
    if (lane == 0 && o < O) y[o] = chosen[n] ? add(sums[n], bias ? bias[o] : 0) : 0;
  }
}
