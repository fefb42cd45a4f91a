/**
 * linear_input_major_fast, over weights in float32, bf16 or f16: a block for 16 outputs of up to eight tokens.
 *
 * The sum is the definition's, in its order, with products fused: only so is a term that is absent the same number as a
 * term of zero, and a packed matrix the same as a list. One thread adds the terms of an output, which takes a step of the
 * multiplier for each; so as not to wait for memory as well it finds them in shared memory, where the other threads
 * have put them, a tile of rows ahead.
 */
#include "vector.cuh"

namespace fast {

/** Outputs of a block. */
constexpr int COLUMNS = 16;
/** Tokens of a block. */
constexpr int MAJOR_TOKENS = 8;
/** Rows of a tile. */
constexpr int TERMS = 128;

/** A tile: weights of some rows, and what they are multiplied with. */
struct alignas(16) Stage {
  float weights[TERMS][COLUMNS];
  float factors[MAJOR_TOKENS][TERMS];
};

/** What a block computes. */
template <typename Stored> struct Product {
  const float *x;       // [tokens, I]
  const Stored *weight; // [I, O], from the block's first column on
  const int *inputs;    // [count], or null: 0, 1, 2, ...
  int tokens, columns, count, O, I;
  bool wide;
};

template <typename Stored> __device__ inline int input_of(const Product<Stored> &of, int term) {
  return of.inputs ? of.inputs[term] : term;
}

/** Fills a tile with terms from `start` on, by `loaders` threads of which this is number `loader`. */
template <typename Stored>
__device__ inline void fill(Stage &stage, const Product<Stored> &of, int start, int loader, int loaders) {
  constexpr int quads = COLUMNS / WIDE;
  const int width = min(TERMS, of.count - start);
  for (int n = loader; n < width * quads; n += loaders) {
    const int r = n / quads;
    const int column = n % quads * WIDE;
    const Stored *row = of.weight + (size_t)input_of(of, start + r) * of.O + column;
    const int left = of.columns - column;
    const float4 four = of.wide && left >= WIDE ? load_wide(row) : load_part(row, left);
    store_four(&stage.weights[r][column], true, WIDE, four);
  }
  for (int t = 0; t < of.tokens; t++)
    for (int r = loader; r < width; r += loaders)
      stage.factors[t][r] = of.x[(size_t)t * of.I + input_of(of, start + r)];
}

template <typename Stored>
__device__ void linear_of_inputs(
  float *y,             // [T, O]
  const float *x,       // [T, I]
  const Stored *weight, // [I, O]
  const float *bias,    // [O], or null
  const int *inputs,    // [R], in the order of the sum, or null
  int T, int O, int I, int R
) {
  __shared__ Stage stages[2];
  const int thread = threadIdx.x;
  const int threads = blockDim.x;
  const int tiles = (T + MAJOR_TOKENS - 1) / MAJOR_TOKENS;
  const int token = blockIdx.x % tiles * MAJOR_TOKENS;
  const long long first = (long long)(blockIdx.x / tiles) * COLUMNS;
  const int tokens = min(MAJOR_TOKENS, T - token);
  const int columns = (int)min((long long)COLUMNS, O - first);
  const int count = inputs ? R : I;
  const Product<Stored> product = {
    x + (size_t)token * I, weight + first, inputs, tokens, columns, count, O, I, is_wide(weight + first, O)
  };
  // Whole warps that add nothing fetch; if there are none, all do.
  const int adders = (tokens * COLUMNS + WARP - 1) / WARP * WARP;
  const int loader = adders < threads ? thread - adders : thread;
  const int loaders = adders < threads ? threads - adders : threads;
  const int t = thread / COLUMNS;
  const int column = thread % COLUMNS;
  const bool adds = t < tokens && column < columns;
  float sum = 0;
  if (count > 0) fill(stages[0], product, 0, thread, threads);
  __syncthreads();
  for (int start = 0, turn = 0; start < count; start += TERMS, turn ^= 1) {
    if (loader >= 0 && start + TERMS < count) fill(stages[turn ^ 1], product, start + TERMS, loader, loaders);
    const Stage &stage = stages[turn];
    const int width = min(TERMS, count - start);
    if (adds)
      for (int r = 0; r < width; r++) sum = multiply_add(stage.factors[t][r], stage.weights[r][column], sum);
    __syncthreads();
  }
  if (adds) {
    const long long o = first + column;
    y[(size_t)(token + t) * O + o] = bias ? add(sum, bias[o]) : sum;
  }
}

} // namespace fast

#define LINEAR_INPUT_MAJOR_FAST(name, Stored)                                                                          \
  extern "C" __global__ void name(                                                                                     \
    float *y, const float *x, const Stored *weight, const float *bias, const int *inputs, int T, int O, int I, int R   \
  ) {                                                                                                                  \
    fast::linear_of_inputs(y, x, weight, bias, inputs, T, O, I, R);                                                    \
  }

LINEAR_INPUT_MAJOR_FAST(linear_input_major_fast, float)
LINEAR_INPUT_MAJOR_FAST(linear_input_major_bf16_fast, bf16)
LINEAR_INPUT_MAJOR_FAST(linear_input_major_f16_fast, f16)
