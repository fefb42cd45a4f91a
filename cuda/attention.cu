/**
 * attention: a block for each token and head, whose weights stand in shared memory: one float32 for each position seen.
 *
 * attention_backward: a block for each key head, which goes through its heads in order, and through the queries of each in
 * order, as every sum over them does; weights and score gradients of a query stand in shared memory: two float32 for each
 * position.
 */
#include "shared/attention.cuh"
#include "shared/key_heads.cuh"

extern "C" __global__ void attention_exact(
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
  const Seen seen = seen_of(S - T + t + 1, W);
  const size_t head = ((size_t)key_head_of(key_heads, h, G, H) * C + seen.first) * K;
  attend(weights, query + (size_t)blockIdx.x * K, key + head, scale, cap, seen.count, K);
  for (int k = threadIdx.x; k < K; k += blockDim.x) {
    float sum = 0;
    for (int s = 0; s < seen.count; s++) sum = add(sum, mul(weights[s], value[head + (size_t)s * K + k]));
    y[k] = sum;
  }
}

extern "C" __global__ void attention_backward_exact(
  float *query_grad,   // [T, H, K]
  float *key_grad,     // [T, G, K]
  float *value_grad,   // [T, G, K]
  const float *y_grad, // [T, H, K]
  const float *query,  // [T, H, K]
  const float *key,    // [G, C, K]
  const float *value,  // [G, C, K]
  float scale, float cap, int T, int W, int C, int H, int G, int K
) {
  DYNAMIC_SHARED(float, weights); // [T]
  float *score_grad = weights + T; // [T]
  const int g = blockIdx.x;
  key += (size_t)g * C * K;
  value += (size_t)g * C * K;
  for (int n = threadIdx.x; n < T * K; n += blockDim.x) {
    const size_t place = ((size_t)(n / K) * G + g) * K + n % K;
    key_grad[place] = 0;
    value_grad[place] = 0;
  }
  __syncthreads();
  for (int h = 0; h < H; h++) {
    if (key_head_of(nullptr, h, G, H) != g) continue;
    for (int t = 0; t < T; t++) {
      const auto [first, visible] = seen_of(t + 1, W);
      const size_t row = ((size_t)t * H + h) * K;
      const float *seen_key = key + (size_t)first * K;
      const float *seen_value = value + (size_t)first * K;
      attend(weights, query + row, seen_key, scale, cap, visible, K);
      for (int s = group_of_block(); s < visible; s += groups_of_block()) {
        const float *past = seen_value + (size_t)s * K;
        const float weight_grad = group_sum([&](int k) { return mul(y_grad[row + k], past[k]); }, K);
        if (lane_of_group() == 0) score_grad[s] = weight_grad;
      }
      __syncthreads();
      const float mean = block_sum([&](int s) { return mul(weights[s], score_grad[s]); }, visible);
      for (int s = threadIdx.x; s < visible; s += blockDim.x)
        score_grad[s] = mul(weights[s], sub(score_grad[s], mean));
      __syncthreads();
      if (cap > 0) {
        for (int s = group_of_block(); s < visible; s += groups_of_block()) {
          const float slope = cap_slope(score_of(query + row, seen_key + (size_t)s * K, scale, K), cap);
          if (lane_of_group() == 0) score_grad[s] = mul(score_grad[s], slope);
        }
        __syncthreads();
      }
      for (int k = threadIdx.x; k < K; k += blockDim.x) {
        float sum = 0;
        for (int s = 0; s < visible; s++) sum = add(sum, mul(score_grad[s], seen_key[(size_t)s * K + k]));
        query_grad[row + k] = mul(sum, scale);
      }
      for (int n = threadIdx.x; n < visible * K; n += blockDim.x) {
        const int s = n / K;
        const int k = n % K;
        const size_t past = ((size_t)(first + s) * G + g) * K + k;
        value_grad[past] = add(value_grad[past], mul(weights[s], y_grad[row + k]));
        key_grad[past] = add(key_grad[past], mul(score_grad[s], mul(query[row + k], scale)));
      }
      __syncthreads();
    }
  }
}
