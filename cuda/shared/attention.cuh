/** What attention and its gradient share: the weights of one query. */
#pragma once
#include "rows.cuh"

/**
 * weights[s] = softmax over s < visible of the striped <query * scale, key[s]>. A group works on a position. A block
 * together; all see the weights.
 */
__device__ inline void attend(
  float *weights,     // [visible]
  const float *query, // [K]
  const float *key,   // [visible, K]
  float scale, int visible, int K
) {
  for (int s = group_of_block(); s < visible; s += groups_of_block()) {
    const float *row = key + (size_t)s * K;
    const float score = group_sum([&](int k) { return mul(mul(query[k], scale), row[k]); }, K);
    if (lane_of_group() == 0) weights[s] = score;
  }
  __syncthreads();
  const float total = exponentials(weights, weights, visible);
  for (int s = threadIdx.x; s < visible; s += blockDim.x) weights[s] = divide(weights[s], total);
  __syncthreads();
}
