/**
 * attention_fast: a block for each token and head, whose weights stand in shared memory: one float32 for each position
 * seen.
 *
 * A group of sixteen threads works out the scores of four positions at a time. The past is split for the values: part p
 * adds positions p, p + 16, p + 32, ... in order, then the parts are added in order. What a token gets follows from the
 * positions it sees, and from nothing that comes after them.
 */
#include "../shared/attention.cuh"
#include "../shared/key_heads.cuh"
#include "vector.cuh"

namespace fast {

/** Positions of a group at a time. */
constexpr int POSITIONS = 4;
/** Parts of the past. */
constexpr int PARTS = 16;
/** Channels of the values that a block adds at a time. */
constexpr int CHANNELS = 64;

/** scores[s] = the capped <query * scale, key[s]>, s < visible. */
__device__ inline void score_all(
  float *scores,      // [visible]
  const float *query, // [K]
  const float *key,   // [visible, K]
  float scale, float cap, int visible, int K
) {
  const bool wide = is_wide(query, K) && is_wide(key, K);
  for (int first = group_of_block(); first < visible; first += POSITIONS * groups_of_block()) {
    float sums[POSITIONS] = {};
    // Past the last position: the last one again, which is not written.
    const auto row_of = [&](int n) { return key + (size_t)min(first + n * groups_of_block(), visible - 1) * K; };
    const auto add_four = [&](auto load, int k) {
      const float4 plain = load(query + k);
      const float4 scaled = {mul(plain.x, scale), mul(plain.y, scale), mul(plain.z, scale), mul(plain.w, scale)};
      for (int n = 0; n < POSITIONS; n++) sums[n] = multiply_add(scaled, load(row_of(n) + k), sums[n]);
    };
    const int lane = lane_of_group() * WIDE;
    if (wide)
      for (int k = lane; k < K; k += LANES * WIDE) add_four([](const float *from) { return load_wide(from); }, k);
    else
      for (int k = lane; k < K; k += LANES * WIDE)
        add_four([&](const float *from) { return load_part(from, K - k); }, k);
    for (int n = 0; n < POSITIONS; n++) {
      const float score = group_sum(sums[n]);
      const int s = first + n * groups_of_block();
      if (lane == 0 && s < visible) scores[s] = cap_score(score, cap);
    }
  }
  __syncthreads();
}

/** y[k] = sum over s < visible of weights[s] * value[s, k]. A block together. */
__device__ inline void add_values(
  float *y,             // [K]
  const float *weights, // [visible]
  const float *value,   // [visible, K]
  int visible, int K
) {
  __shared__ float sums_of[PARTS][CHANNELS];
  constexpr int quads = CHANNELS / WIDE;
  const bool wide = is_wide(value, K);
  for (int first = 0; first < K; first += CHANNELS) {
    for (int n = threadIdx.x; n < PARTS * quads; n += blockDim.x) {
      const int part = n / quads;
      const int k = first + n % quads * WIDE;
      float4 sum = {0, 0, 0, 0};
      if (wide && k < K)
        for (int s = part; s < visible; s += PARTS)
          sum = multiply_add(weights[s], load_wide(value + (size_t)s * K + k), sum);
      else
        for (int s = part; s < visible; s += PARTS)
          sum = multiply_add(weights[s], load_part(value + (size_t)s * K + k, K - k), sum);
      sums_of[part][k - first] = sum.x;
      sums_of[part][k - first + 1] = sum.y;
      sums_of[part][k - first + 2] = sum.z;
      sums_of[part][k - first + 3] = sum.w;
    }
    __syncthreads();
    for (int k = threadIdx.x; k < min(CHANNELS, K - first); k += blockDim.x) {
      float sum = 0;
      for (int part = 0; part < PARTS; part++) sum = add(sum, sums_of[part][k]);
      y[first + k] = sum;
    }
    __syncthreads();
  }
}

} // namespace fast

extern "C" __global__ void attention_fast(
  float *y,             // [T, H, K]
  const float *query,   // [T, H, K]
  const float *key,     // [G, C, K]
  const float *value,   // [G, C, K]
  const int *heads,     // [R], ascending, or null
  const int *key_heads, // [H], below G, or null
  float scale, float cap, int T, int S, int W, int C, int H, int G, int K, int R
) {
  DYNAMIC_SHARED(float, weights); // [min(S, W)]
  const int t = blockIdx.x / H;
  const int h = blockIdx.x % H;
  y += (size_t)blockIdx.x * K;
  if (!is_chosen(heads, R, h)) {
    for (int k = threadIdx.x; k < K; k += blockDim.x) y[k] = 0;
    return;
  }
  const auto [first, visible] = seen_of(S - T + t + 1, W);
  const size_t head = ((size_t)key_head_of(key_heads, h, G, H) * C + first) * K;
  fast::score_all(weights, query + (size_t)blockIdx.x * K, key + head, scale, cap, visible, K);
  const float total = fast::exponentials(weights, weights, visible);
  for (int s = threadIdx.x; s < visible; s += blockDim.x) weights[s] = divide(weights[s], total);
  __syncthreads();
  fast::add_values(y, weights, value + head, visible, K);
}
