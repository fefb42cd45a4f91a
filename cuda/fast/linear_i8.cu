/**
 * linear_i8_fast: the bits of the definition, for its sums are exact. A block for some outputs of a token, BYTE_ROWS of
 * the list for each of its warps; it rounds the token's inputs to int16 a tile at a time, and a lane multiplies 16
 * neighbours with 16 weights.
 */
#include "bytes.cuh"
#include "rows.cuh"

namespace fast {

/** Rows of a warp. */
constexpr int BYTE_ROWS = 4;
/** Inputs that are rounded at a time. */
constexpr int BYTE_TILE = 2048;

} // namespace fast

extern "C" __global__ void linear_i8_fast(
  float *y,                  // [T, O]
  const float *x,            // [T, I]
  const signed char *weight, // [O, I]
  const float *scales,       // [O]
  const float *bias,         // [O], or null
  const int *rows,           // [R], ascending, or null
  int, int O, int I, int R
) {
  using namespace fast;
  __shared__ int4 tile[BYTE_TILE / 8];
  const int lane = threadIdx.x % WARP;
  const int outputs_of_block = blockDim.x / WARP * BYTE_ROWS;
  const int blocks_of_token = (O + outputs_of_block - 1) / outputs_of_block;
  const size_t t = blockIdx.x / blocks_of_token;
  const long long first = (long long)(blockIdx.x % blocks_of_token) * outputs_of_block;
  const int count = rows ? R : O;
  x += t * I;
  y += t * O;
  clear_others(y, rows, first, outputs_of_block, O, R);
  if (first >= count) return;
  const long long place = first + threadIdx.x / WARP * BYTE_ROWS;
  int outputs[BYTE_ROWS];
  int sums[BYTE_ROWS] = {};
  for (int n = 0; n < BYTE_ROWS; n++) {
    // Past the last row: the last one again, which is not written.
    const int r = (int)min(place + n, count - 1LL);
    outputs[n] = rows ? rows[r] : r;
  }
  const bool wide = is_wide_row(weight, I);
  const Steps steps = block_steps([&](int i) { return x[i]; }, I);
  for (int start = 0; start < I; start += BYTE_TILE) {
    const int width = min(BYTE_TILE, I - start);
    pack_steps(tile, [&](int i) { return x[start + i]; }, steps, width);
    __syncthreads();
    for (int i = lane * BYTES; i < width; i += WARP * BYTES)
      for (int n = 0; n < BYTE_ROWS; n++) {
        const signed char *row = weight + (size_t)outputs[n] * I + start;
        sums[n] = dot_bytes(load_bytes(row + i, wide, width - i), tile[i / 8], tile[i / 8 + 1], sums[n]);
      }
    __syncthreads();
  }
  for (int n = 0; n < BYTE_ROWS; n++) {
    const int sum = warp_total(sums[n]);
    const int o = outputs[n];
    if (lane == 0 && place + n < count)
      y[o] = add(mul(mul(steps.step, scales[o]), __int2float_rn(sum)), bias ? bias[o] : 0);
  }
}
