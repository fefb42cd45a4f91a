/**
 * linear_i4_fast: the bits of the definition. A block for some outputs of a token, four rows side by side for each of its
 * warps. It rounds the token's inputs a tile at a time. A lane has a block of the four rows, 16 bytes a load, and
 * multiplies four numbers at once; then the terms of each row are added in order by a lane of its own.
 */
#include "../shared/int4.cuh"
#include "bytes.cuh"
#include "vector.cuh"

namespace fast {

/** Blocks of inputs that are rounded at a time. */
constexpr int QUAD_TILE = 64;

/** sum + the inner product of the numbers in a word: lower halves of its bytes with `low`, upper halves with `high`. */
__device__ inline int dot_nibbles(int word, int low, int high, int sum) {
  return __dp4a(word >> 4 & 0x0f0f0f0f, high, __dp4a(word & 0x0f0f0f0f, low, sum));
}

} // namespace fast

extern "C" __global__ void linear_i4_fast(
  float *y,                    // [T, O]
  const float *x,              // [T, I]
  const unsigned char *weight, // [G, B, 80]
  const float *bias,           // [O], or null
  const int *rows,             // [R], ascending, or null
  int, int O, int I, int R, int G, int B
) {
  using namespace fast;
  // The lower 16 numbers of each block, then the upper 16.
  __shared__ int4 tile[2][QUAD_TILE];
  __shared__ float steps[QUAD_TILE];
  __shared__ float sums[QUAD_TILE];
  // One more than lanes: the four that add read from different banks.
  __shared__ float terms[MOST_THREADS / WARP][QUAD_ROWS][WARP + 1];
  const int lane = threadIdx.x % WARP;
  const int warp = threadIdx.x / WARP;
  const int warps = blockDim.x / WARP;
  const int blocks_of_token = (G + warps - 1) / warps;
  const size_t t = blockIdx.x / blocks_of_token;
  const long long g = (long long)(blockIdx.x % blocks_of_token) * warps + warp;
  const long long o = g * QUAD_ROWS + lane; // of the first four lanes
  const bool is_row = lane < QUAD_ROWS && o < O;
  const bool chosen = is_row && is_chosen(rows, R, o);
  x += t * I;
  y += t * O;
  if (is_row && !chosen) y[o] = 0;
  const bool has_rows = warp_total(chosen) > 0;
  if (block_total(chosen) == 0) return;
  const bool wide = is_wide_row(weight, QUAD_BYTES);
  float total = 0;
  for (int start = 0; start < B; start += QUAD_TILE) {
    const int width = min(QUAD_TILE, B - start);
    for (int b = warp; b < width; b += warps) {
      const int i = (start + b) * BLOCK_NUMBERS + lane;
      const RoundedBlock q = round_block(i < I ? x[i] : 0);
      reinterpret_cast<signed char *>(&tile[lane / 16][b])[lane % 16] = (signed char)q.steps;
      if (lane == 0) {
        steps[b] = q.step;
        sums[b] = q.sum;
      }
    }
    __syncthreads();
    for (int first = 0; has_rows && first < width; first += WARP) {
      const int b = first + lane;
      if (b < width) {
        const unsigned char *quad = weight + ((size_t)g * B + start + b) * QUAD_BYTES;
        const int4 halves = load_bytes(quad, wide, BYTES);
        const int scales[] = {halves.x, halves.y};
        const int minima[] = {halves.z, halves.w};
        const int low[] = {tile[0][b].x, tile[0][b].y, tile[0][b].z, tile[0][b].w};
        const int high[] = {tile[1][b].x, tile[1][b].y, tile[1][b].z, tile[1][b].w};
        int products[QUAD_ROWS] = {};
        for (int j = 0; j < 4; j++) {
          const int4 words = load_bytes(quad + 16 + 16 * j, wide, BYTES);
          products[0] = dot_nibbles(words.x, low[j], high[j], products[0]);
          products[1] = dot_nibbles(words.y, low[j], high[j], products[1]);
          products[2] = dot_nibbles(words.z, low[j], high[j], products[2]);
          products[3] = dot_nibbles(words.w, low[j], high[j], products[3]);
        }
        for (int n = 0; n < QUAD_ROWS; n++) {
          const float scale = widen_f16(scales[n / 2] >> n % 2 * 16 & 0xffff);
          const float minimum = widen_f16(minima[n / 2] >> n % 2 * 16 & 0xffff);
          terms[warp][n][lane] = block_term(scale, minimum, steps[b], products[n], sums[b]);
        }
      }
      __syncwarp();
      if (lane < QUAD_ROWS)
        for (int n = 0; n < min(WARP, width - first); n++) total = add(total, terms[warp][lane][n]);
      __syncwarp();
    }
    __syncthreads();
  }
  if (chosen) y[o] = add(total, bias ? bias[o] : 0);
}
