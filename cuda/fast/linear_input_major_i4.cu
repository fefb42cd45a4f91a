/**
 * linear_input_major_i4_fast: the bits of the definition. A block of threads for 32 outputs of a token. Each of its warps
 * takes another block of inputs; the terms of the warps are added in the order of the blocks, by a thread for each output.
 *
 * Of 32 chosen inputs a lane multiplies four with the eight outputs of a word, four products at once.
 */
#include "../shared/int4.cuh"
#include "bytes.cuh"

namespace fast {

/** Outputs of a block of threads: half a tile, 16 bytes of a row. */
constexpr int NIBBLE_COLUMNS = 32;
constexpr int HALF_BYTES = TILE_BYTES / 2;
/** Outputs of a word: of the lower halves of its bytes, then of the upper halves. */
constexpr int WORD_COLUMNS = 8;
/** Lanes that share a row, a word each; and rows of a lane. */
constexpr int LANES_OF_ROW = 4;
constexpr int ROWS_OF_LANE = 4;

/** Where a lane's output is in its 32, once `sum_over_rows` has shared out the sums. */
__device__ inline int column_of_lane(int lane) { return lane / 16 * 16 + lane % 4 * 4 + lane / 4 % 4; }

/**
 * Adds to the sums of a word's eight outputs the products of four rows with four numbers, which are the bytes of `steps`.
 * Bytes are turned first, so that a word has those of one place in all four rows.
 */
__device__ inline void add_words(int *sums, const int *words, int steps) {
  const unsigned low[] = {__byte_perm(words[0], words[1], 0x5140), __byte_perm(words[2], words[3], 0x5140)};
  const unsigned high[] = {__byte_perm(words[0], words[1], 0x7362), __byte_perm(words[2], words[3], 0x7362)};
  const unsigned turned[] = {
    __byte_perm(low[0], low[1], 0x5410), __byte_perm(low[0], low[1], 0x7632), __byte_perm(high[0], high[1], 0x5410),
    __byte_perm(high[0], high[1], 0x7632)
  };
  for (int n = 0; n < 4; n++) {
    sums[n] = __dp4a((int)(turned[n] & 0x0f0f0f0f), steps, sums[n]);
    sums[4 + n] = __dp4a((int)(turned[n] >> 4 & 0x0f0f0f0f), steps, sums[4 + n]);
  }
}

/** The sum over all rows of one output for each lane; lanes give half of what they have to a partner. A warp together. */
__device__ inline int sum_over_rows(int *sums, int lane) {
  for (int left = WORD_COLUMNS / 2, apart = WARP / 2; left > 0; left /= 2, apart /= 2)
    for (int n = 0; n < left; n++) {
      const int given = lane & apart ? sums[n] : sums[left + n];
      const int kept = lane & apart ? sums[left + n] : sums[n];
      sums[n] = kept + __shfl_xor_sync(WHOLE_WARP, given, apart);
    }
  return sums[0];
}

} // namespace fast

extern "C" __global__ void linear_input_major_i4_fast(
  float *y,                    // [T, O]
  const float *x,              // [T, I]
  const unsigned char *weight, // [C, S, 32]
  const float *scales,         // [C, B, 128]
  const int *blocks,           // [I]
  const float *bias,           // [O], or null
  const int *inputs,           // [R], or null
  int, int O, int I, int R, int, int S, int B
) {
  using namespace fast;
  constexpr int most_warps = MOST_THREADS / WARP;
  __shared__ int numbers[most_warps][WARP / ROWS_OF_LANE];
  __shared__ int rows[most_warps][WARP];
  __shared__ float terms[most_warps][WARP];
  const int lane = threadIdx.x % WARP;
  const int warp = threadIdx.x / WARP;
  const int warps = blockDim.x / WARP;
  const int fourth = lane / LANES_OF_ROW;
  const int blocks_of_token = (O + NIBBLE_COLUMNS - 1) / NIBBLE_COLUMNS;
  const size_t t = blockIdx.x / blocks_of_token;
  const int half = blockIdx.x % blocks_of_token;
  const long long o = (long long)half * NIBBLE_COLUMNS + column_of_lane(lane);
  const int count = inputs ? R : I;
  x += t * I;
  weight += (size_t)(half / 2) * S * TILE_BYTES + half % 2 * HALF_BYTES + lane % LANES_OF_ROW * 4;
  const bool wide = reinterpret_cast<size_t>(weight) % 4 == 0;
  const auto input = [&](int r) { return inputs ? inputs[r] : r; };
  const auto block_of = [&](int r) { return blocks[input(r)]; };
  const auto word_of = [&](int i) {
    if (i < 0) return 0;
    const unsigned char *word = weight + (size_t)i * TILE_BYTES;
    return wide ? *reinterpret_cast<const int *>(word) : load_word(word, 4);
  };
  const bool ascends = never_falls(block_of, count);
  float sum = 0;
  for (int first = 0; first < B; first += warps) {
    const int b = first + warp;
    Places places = {0, 0};
    if (b < B) places = places_of_block(block_of, count, ascends, b);
    float largest = 0;
    int members = 0;
    for (int r = places.from + lane; r < places.to; r += WARP) {
      if (block_of(r) != b) continue;
      largest = larger(largest, fabsf(x[input(r)]));
      members++;
    }
    terms[warp][lane] = 0;
    if (warp_total(members) > 0) {
      const float step = divide(warp_reduce(largest, larger), BLOCK_LEVELS);
      int sums[WORD_COLUMNS] = {};
      int total = 0;
      for (int start = places.from; start < places.to; start += WARP) {
        const int r = start + lane;
        const int i = r < places.to && block_of(r) == b ? input(r) : -1;
        rows[warp][lane] = i;
        __syncwarp();
        int words[ROWS_OF_LANE];
        for (int n = 0; n < ROWS_OF_LANE; n++) words[n] = word_of(rows[warp][fourth * ROWS_OF_LANE + n]);
        const int steps = i < 0 ? 0 : nearest_step(x[i], step, BLOCK_LEVELS);
        total += steps;
        reinterpret_cast<signed char *>(numbers[warp])[lane] = (signed char)steps;
        __syncwarp();
        add_words(sums, words, numbers[warp][fourth]);
      }
      total = warp_total(total);
      const int product = sum_over_rows(sums, lane);
      const float *own = scales + place_of_scale(o, b, B);
      const float rounded = mul(step, __int2float_rn(total));
      terms[warp][lane] = block_term(own[0], own[TILE_OUTPUTS], step, product, rounded);
    }
    __syncthreads();
    if (warp == 0)
      for (int n = 0; n < warps; n++) sum = add(sum, terms[n][lane]);
    __syncthreads();
  }
  if (warp == 0 && o < O) y[t * O + o] = add(sum, bias ? bias[o] : 0);
}
