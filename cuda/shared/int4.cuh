/**
 * int4 weights in the two layouts of src/tensor/int4.ts, and activations rounded to int8 in blocks of 32
 * (src/ops/int8_blocks.ts). A warp has a thread for each number of a block.
 */
#pragma once
#include "quantized.cuh"
#include "storage.cuh"

/** Numbers that share a scale and a minimum. */
constexpr int BLOCK_NUMBERS = 32;
/** Bytes of a block of one row, and of four rows side by side. */
constexpr int BLOCK_BYTES = 20;
constexpr int QUAD_ROWS = 4;
constexpr int QUAD_BYTES = QUAD_ROWS * BLOCK_BYTES;
/** Outputs of a tile, and its bytes of a unit. */
constexpr int TILE_OUTPUTS = 64;
constexpr int TILE_BYTES = 32;
/** Steps an activation may be away from zero. */
constexpr int BLOCK_LEVELS = 127;

static_assert(BLOCK_NUMBERS == WARP, "a thread for each number of a block");

// ---- Four rows side by side -------------------------------------------------------------------------------------

/** Scale and minimum of a row of the four. */
__device__ inline float half_at(const unsigned char *at) { return widen(f16{(unsigned short)(at[0] | at[1] << 8)}); }
__device__ inline float scale_of_row(const unsigned char *quad, int row) { return half_at(quad + 2 * row); }
__device__ inline float minimum_of_row(const unsigned char *quad, int row) { return half_at(quad + 8 + 2 * row); }

/** The place of byte k of a row's sixteen bytes of numbers. */
__device__ inline int place_of_numbers(int row, int k) { return 16 + k / 4 * 16 + row * 4 + k % 4; }

/** Number i of the 32 of a row. */
__device__ inline int number_of_row(const unsigned char *quad, int row, int i) {
  return quad[place_of_numbers(row, i % 16)] >> i / 16 * 4 & 15;
}

// ---- Tiles of 64 outputs, a row per unit ------------------------------------------------------------------------

/** Number o of unit i, of S units. */
__device__ inline int number_of_unit(const unsigned char *weight, int o, int i, int S) {
  const unsigned char *row = weight + ((size_t)(o / TILE_OUTPUTS) * S + i) * TILE_BYTES;
  return row[o % TILE_OUTPUTS / 32 * 16 + o % 16] >> o / 16 % 2 * 4 & 15;
}

/** Where the scale of output o in block b stands, of B blocks; its minimum stands TILE_OUTPUTS further. */
__device__ inline size_t place_of_scale(int o, int b, int B) {
  return ((size_t)(o / TILE_OUTPUTS) * B + b) * 2 * TILE_OUTPUTS + o % TILE_OUTPUTS;
}

// ---- Blocks of activations --------------------------------------------------------------------------------------

/** What a block adds to an output; `sum` is the step times the sum of what the activations are rounded to. */
__device__ inline float block_term(float scale, float minimum, float step, int product, float sum) {
  return add(mul(mul(scale, step), __int2float_rn(product)), mul(minimum, sum));
}

/** A block of activations, rounded: this thread's own number of steps. */
struct RoundedBlock {
  int steps;
  float step;
  float sum;
};

/** Rounds the 32 numbers of a warp, of which each thread gives one. A warp together. */
__device__ inline RoundedBlock round_block(float x) {
  const float step = divide(warp_reduce(fabsf(x), larger), BLOCK_LEVELS);
  const int steps = nearest_step(x, step, BLOCK_LEVELS);
  return {steps, step, mul(step, __int2float_rn(warp_total(steps)))};
}

// ---- Lists of inputs --------------------------------------------------------------------------------------------

/** Whether number(n), n < count, never falls. A block of threads together; all get it. */
template <typename Number> __device__ bool never_falls(Number number, int count) {
  int falls = 0;
  for (int n = threadIdx.x + 1; n < count; n += blockDim.x) falls += number(n) < number(n - 1);
  return block_total(falls) == 0;
}

/**
 * The first n with number(n) >= least, `count` if there is none, for numbers that never fall. A warp together: each
 * thread looks at the last of a part, and the parts before the place are those that end below. All get it.
 */
template <typename Number> __device__ int first_not_below(Number number, int count, int least) {
  int from = 0;
  int to = count;
  while (from < to) {
    const int width = (to - from + WARP - 1) / WARP;
    const int last = from + ((int)threadIdx.x % WARP + 1) * width - 1;
    from += warp_total(last < to && number(last) < least) * width;
    to = min(to, from + width - 1);
  }
  return from;
}

/** Places in a list. */
struct Places {
  int from;
  int to;
};

/**
 * Where in a list the inputs of a block stand: between these places where blocks never fall, as they do in a list in the
 * order of the units; else anywhere. A warp together; all get it.
 *
 * Anywhere means that the whole list is looked through for every block. An engine that keeps units in order never pays this:
 * packed rows that are out of order come with a list that puts their units in order (src/engine/packing.ts). Sorting the
 * list would need a buffer and a pass of its own.
 */
template <typename Block> __device__ Places places_of_block(Block block_of, int count, bool ascends, int block) {
  if (!ascends) return {0, count};
  return {first_not_below(block_of, count, block), first_not_below(block_of, count, block + 1)};
}
