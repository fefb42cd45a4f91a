/** What kernels of attention share: what a token sees, caps of scores, and the weights of one query. */
#pragma once
#include "rows.cuh"

/** The positions that a token sees, `count` of them from `first` on, of `end` up to its own. */
struct Seen {
  int first;
  int count;
};

__device__ inline Seen seen_of(int end, int W) {
  const int count = min(end, W);
  return {end - count, count};
}

/** A score under a cap: cap tanh(score / cap); a cap of 0 or less is none. */
__device__ inline float cap_score(float score, float cap) {
  return cap > 0 ? mul(cap, tanh32(divide(score, cap))) : score;
}

/** What a capped score gains with the score: 1 - tanh(score / cap)^2. */
__device__ inline float cap_slope(float score, float cap) {
  const float u = tanh32(divide(score, cap));
  return sub(1, mul(u, u));
}

/** The striped <query * scale, key>. A group together; all get it. */
__device__ inline float score_of(const float *query, const float *key, float scale, int K) {
  return group_sum([&](int k) { return mul(mul(query[k], scale), key[k]); }, K);
}

/**
 * weights[s] = softmax over s < visible of the capped, striped <query * scale, key[s]>. A group works on a position. A
 * block together; all see the weights.
 */
__device__ inline void attend(
  float *weights,     // [visible]
  const float *query, // [K]
  const float *key,   // [visible, K]
  float scale, float cap, int visible, int K
) {
  for (int s = group_of_block(); s < visible; s += groups_of_block()) {
    const float score = score_of(query, key + (size_t)s * K, scale, K);
    if (lane_of_group() == 0) weights[s] = cap_score(score, cap);
  }
  __syncthreads();
  const float total = exponentials(weights, weights, visible);
  for (int s = threadIdx.x; s < visible; s += blockDim.x) weights[s] = divide(weights[s], total);
  __syncthreads();
}
