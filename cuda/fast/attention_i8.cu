/**
 * attention_i8_fast: a block for each token and head, whose factors stand in shared memory: one float32 for each position
 * seen, and those before them in their block, which are 0.
 *
 * Inner products are exact and have no order: four threads work out a score, 16 bytes at a time. A warp rounds the
 * factors of a block of positions, and one adds the values of a block. The past is split for that: part p has blocks
 * p, p + 8, p + 16, ... in order, then the parts are added in order.
 */
#include "../shared/attention.cuh"
#include "../shared/key_heads.cuh"
#include "bytes.cuh"
#include "vector.cuh"

namespace fast {

/** Channels of a query that are rounded at a time. */
constexpr int QUERY_TILE = 256;
/** Threads that work out a score. */
constexpr int SCORERS = 4;
/** The most blocks of positions: MAX_CONTEXT (src/ops/attention.ts) has so many. */
constexpr int MOST_BLOCKS = 32768 / VALUE_BLOCK;
/** Parts of the past. */
constexpr int BLOCK_PARTS = 8;
/** Channels of the values that a warp adds at a time: four for each of half its threads. */
constexpr int BYTE_CHANNELS = WARP / 2 * 4;

/** scores[s] = the capped (step * key_scales[s]) * <query * scale in steps, key[s]>, s < visible. A block together; all see them. */
__device__ inline void score_bytes(
  float *scores,           // [visible]
  const float *query,      // [K]
  const signed char *key,  // [visible, K]
  const float *key_scales, // [visible]
  float scale, float cap, int visible, int K
) {
  __shared__ int4 tile[QUERY_TILE / 8];
  const int scorer = threadIdx.x % SCORERS;
  const unsigned scorers = 0xfu << (threadIdx.x % WARP - scorer);
  const auto scaled = [&](int k) { return mul(query[k], scale); };
  const Steps steps = block_steps(scaled, K);
  const bool wide = is_wide_row(key, K);
  // Until they are whole, sums stand as the bits of whole numbers where the scores will.
  for (int s = threadIdx.x; s < visible; s += blockDim.x) scores[s] = __int_as_float(0);
  for (int start = 0; start < K; start += QUERY_TILE) {
    const int width = min(QUERY_TILE, K - start);
    pack_steps(tile, [&](int k) { return scaled(start + k); }, steps, width);
    __syncthreads();
    for (int s = threadIdx.x / SCORERS; s < visible; s += blockDim.x / SCORERS) {
      const signed char *row = key + (size_t)s * K + start;
      int sum = 0;
      for (int k = scorer * BYTES; k < width; k += SCORERS * BYTES)
        sum = dot_bytes(load_bytes(row + k, wide, width - k), tile[k / 8], tile[k / 8 + 1], sum);
      sum += __shfl_xor_sync(scorers, sum, 1);
      sum += __shfl_xor_sync(scorers, sum, 2);
      if (scorer == 0) scores[s] = __int_as_float(__float_as_int(scores[s]) + sum);
    }
    __syncthreads();
  }
  for (int s = threadIdx.x; s < visible; s += blockDim.x)
    scores[s] = cap_score(mul(mul(steps.step, key_scales[s]), __int2float_rn(__float_as_int(scores[s]))), cap);
  __syncthreads();
}

/** Rounds factors block by block, in their place, as the bits of whole numbers. A block together; all see them. */
__device__ inline void round_factors(float *factors, float *steps_of, int visible) {
  const int lane = threadIdx.x % WARP;
  for (int block = threadIdx.x / WARP; block * VALUE_BLOCK < visible; block += blockDim.x / WARP) {
    float *own = factors + block * VALUE_BLOCK;
    const int width = min(VALUE_BLOCK, visible - block * VALUE_BLOCK);
    float largest = 0;
    int count = 0;
    for (int s = lane; s < width; s += WARP) {
      largest = larger(largest, fabsf(own[s]));
      count += own[s] != 0;
    }
    const Steps steps = steps_for(warp_reduce(largest, larger), warp_total(count));
    for (int s = lane; s < width; s += WARP) own[s] = __int_as_float(round_to(steps, own[s]));
    if (lane == 0) steps_of[block] = steps.step;
  }
  __syncthreads();
}

/** sums[n] = sum over s < width of numbers[s] * value[s, n], of four neighbouring channels. A warp together. */
__device__ inline void add_block(
  int (&sums)[4],
  const float *numbers,     // [width], the bits of whole numbers
  const signed char *value, // [width, K], from the four channels on
  bool wide, int left, int width, int K
) {
  for (int s = threadIdx.x % WARP / (WARP / 2); s < width; s += 2) {
    const signed char *row = value + (size_t)s * K;
    const int word = wide ? *reinterpret_cast<const int *>(row) : load_word(row, left);
    for (int n = 0; n < 4; n++) sums[n] += __float_as_int(numbers[s]) * byte_of(word, n);
  }
  // The other half of the warp has the other positions.
  for (int n = 0; n < 4; n++) sums[n] += __shfl_xor_sync(WHOLE_WARP, sums[n], WARP / 2);
}

/** y[k] = (sum over blocks of step * <numbers, value>) / total. A block together. */
__device__ inline void add_bytes(
  float *y,                 // [K]
  const float *numbers,     // [visible], the bits of whole numbers
  const float *steps_of,    // [blocks]
  const signed char *value, // [visible, K]
  float total, int visible, int K
) {
  __shared__ float sums_of[BLOCK_PARTS][BYTE_CHANNELS];
  const int channel = threadIdx.x % (WARP / 2) * 4;
  for (int first = 0; first < K; first += BYTE_CHANNELS) {
    const signed char *columns = value + first + channel;
    const int left = K - first - channel;
    const bool wide = (reinterpret_cast<size_t>(columns) | K) % 4 == 0 && left >= 4;
    for (int part = threadIdx.x / WARP; part < BLOCK_PARTS; part += blockDim.x / WARP) {
      float part_sums[4] = {};
      for (int block = part; block * VALUE_BLOCK < visible; block += BLOCK_PARTS) {
        const int start = block * VALUE_BLOCK;
        int sums[4] = {};
        add_block(sums, numbers + start, columns + (size_t)start * K, wide, left, min(VALUE_BLOCK, visible - start), K);
        for (int n = 0; n < 4; n++)
          part_sums[n] = multiply_add(steps_of[block], __int2float_rn(sums[n]), part_sums[n]);
      }
      for (int n = 0; n < 4; n++) sums_of[part][channel + n] = part_sums[n];
    }
    __syncthreads();
    for (int k = threadIdx.x; k < min(BYTE_CHANNELS, K - first); k += blockDim.x) {
      float sum = 0;
      for (int part = 0; part < BLOCK_PARTS; part++) sum = add(sum, sums_of[part][k]);
      y[first + k] = divide(sum, total);
    }
    __syncthreads();
  }
}

} // namespace fast

extern "C" __global__ void attention_i8_fast(
  float *y,                  // [T, H, K]
  const float *query,        // [T, H, K]
  const signed char *key,    // [G, C, K]
  const float *key_scales,   // [G, C]
  const signed char *value,  // [G, C, K]
  const float *value_scales, // [G, C]
  const int *heads,          // [R], ascending, or null
  const int *key_heads,      // [H], below G, or null
  float scale, float cap, int T, int S, int W, int C, int H, int G, int K, int R
) {
  DYNAMIC_SHARED(float, factors); // [min(S, W + VALUE_BLOCK)]
  __shared__ float steps_of[fast::MOST_BLOCKS];
  const int t = blockIdx.x / H;
  const int h = blockIdx.x % H;
  y += (size_t)blockIdx.x * K;
  if (!is_chosen(heads, R, h)) {
    for (int k = threadIdx.x; k < K; k += blockDim.x) y[k] = 0;
    return;
  }
  const Seen seen = seen_of(S - T + t + 1, W);
  const int skipped = seen.first % VALUE_BLOCK;
  const size_t head = (size_t)key_head_of(key_heads, h, G, H) * C + seen.first;
  const float *own_query = query + (size_t)blockIdx.x * K;
  float *scores = factors + skipped;
  fast::score_bytes(scores, own_query, key + head * K, key_scales + head, scale, cap, seen.count, K);
  const float total = fast::exponentials(scores, scores, seen.count);
  for (int s = threadIdx.x; s < seen.count; s += blockDim.x) scores[s] = mul(scores[s], value_scales[head + s]);
  for (int s = threadIdx.x; s < skipped; s += blockDim.x) factors[s] = 0;
  __syncthreads();
  const int count = skipped + seen.count;
  fast::round_factors(factors, steps_of, count);
  fast::add_bytes(y, factors, steps_of, value + (head - skipped) * K, total, count, K);
}
