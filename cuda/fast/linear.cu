/**
 * linear_fast, over weights in float32, bf16 or f16: a warp for LINEAR_ROWS rows of the list and up to LINEAR_TOKENS
 * tokens, so that a weight is read once for all of these.
 *
 * A lane adds the products of places 4 lane, 4 lane + 1, 4 lane + 2, 4 lane + 3, then those 128 further on, fused; the
 * lanes are added by a tree, the bias last. That order follows from the place in the row alone: rows that are not chosen,
 * tokens beside it and the kind of the weights change no bit.
 */
#include "rows.cuh"
#include "vector.cuh"

namespace fast {

/** Rows of a warp. */
constexpr int LINEAR_ROWS = 2;
/** Tokens of a block. */
constexpr int LINEAR_TOKENS = 4;

/** Inner products of a warp's rows with tokens, those past the last one taken for the last one again. */
template <int TOKENS, typename Stored>
__device__ inline void products_of_warp(
  float (&sums)[LINEAR_ROWS][TOKENS],
  const float *x,                           // [tokens, I]
  const Stored *const (&rows)[LINEAR_ROWS], // [I] each
  int tokens, int I
) {
  const auto add_four = [&](auto load, int i) {
    float4 weights[LINEAR_ROWS];
    for (int n = 0; n < LINEAR_ROWS; n++) weights[n] = load(rows[n] + i);
    for (int t = 0; t < TOKENS; t++) {
      const float4 inputs = load(x + (size_t)min(t, tokens - 1) * I + i);
      for (int n = 0; n < LINEAR_ROWS; n++) sums[n][t] = multiply_add(weights[n], inputs, sums[n][t]);
    }
  };
  const int first = threadIdx.x % WARP * WIDE;
  bool wide = is_wide(x, I);
  for (int n = 0; n < LINEAR_ROWS; n++) wide = wide && is_wide(rows[n], I);
  if (wide)
    for (int i = first; i < I; i += WARP * WIDE) add_four([](const auto *from) { return load_wide(from); }, i);
  else
    for (int i = first; i < I; i += WARP * WIDE)
      add_four([&](const auto *from) { return load_part(from, I - i); }, i);
}

template <int TOKENS, typename Stored>
__device__ inline void linear_of_warp(
  float *y,             // [tokens, O]
  const float *x,       // [tokens, I]
  const Stored *weight, // [O, I]
  const float *bias,    // [O], or null
  const int *rows,      // [count], or null: 0, 1, 2, ...
  long long place, int count, int tokens, int O, int I
) {
  int outputs[LINEAR_ROWS];
  const Stored *weights[LINEAR_ROWS];
  for (int n = 0; n < LINEAR_ROWS; n++) {
    // Past the last row: the last one again, which is not written.
    const int r = (int)min(place + n, count - 1LL);
    outputs[n] = rows ? rows[r] : r;
    weights[n] = weight + (size_t)outputs[n] * I;
  }
  float sums[LINEAR_ROWS][TOKENS] = {};
  products_of_warp(sums, x, weights, tokens, I);
  for (int n = 0; n < LINEAR_ROWS; n++)
    for (int t = 0; t < TOKENS; t++) {
      const float sum = warp_sum(sums[n][t]);
      if (threadIdx.x % WARP == 0 && place + n < count && t < tokens)
        y[(size_t)t * O + outputs[n]] = bias ? add(sum, bias[outputs[n]]) : sum;
    }
}

template <typename Stored>
__device__ void linear_of_rows(
  float *y,             // [T, O]
  const float *x,       // [T, I]
  const Stored *weight, // [O, I]
  const float *bias,    // [O], or null
  const int *rows,      // [R], ascending, or null
  int T, int O, int I, int R
) {
  const int outputs = blockDim.x / WARP * LINEAR_ROWS;
  const int tiles = (T + LINEAR_TOKENS - 1) / LINEAR_TOKENS;
  const long long first = (long long)(blockIdx.x / tiles) * outputs;
  const int token = blockIdx.x % tiles * LINEAR_TOKENS;
  const int tokens = min(LINEAR_TOKENS, T - token);
  x += (size_t)token * I;
  y += (size_t)token * O;
  for (int t = 0; t < tokens; t++) clear_others(y + (size_t)t * O, rows, first, outputs, O, R);
  const int count = rows ? R : O;
  const long long place = first + threadIdx.x / WARP * LINEAR_ROWS;
  if (place >= count) return;
  if (tokens == 1) linear_of_warp<1>(y, x, weight, bias, rows, place, count, tokens, O, I);
  else linear_of_warp<LINEAR_TOKENS>(y, x, weight, bias, rows, place, count, tokens, O, I);
}

} // namespace fast

#define LINEAR_FAST(name, Stored)                                                                                      \
  extern "C" __global__ void name(                                                                                     \
    float *y, const float *x, const Stored *weight, const float *bias, const int *rows, int T, int O, int I, int R     \
  ) {                                                                                                                  \
    fast::linear_of_rows(y, x, weight, bias, rows, T, O, I, R);                                                        \
  }

LINEAR_FAST(linear_fast, float)
LINEAR_FAST(linear_bf16_fast, bf16)
LINEAR_FAST(linear_f16_fast, f16)
