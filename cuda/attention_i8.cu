/**
 * attention_i8: a block for each token and head, whose factors stand in shared memory: one float32 for each position seen.
 * What is exact, the inner products, has no order; a thread has a position, then a channel of the values.
 */
#include "shared/attention.cuh"
#include "shared/key_heads.cuh"
#include "shared/quantized.cuh"
#include "shared/rows.cuh"

/** factors[s] = the capped (step * key_scales[s]) * <query in steps, key[s]>, for a query that is rounded a tile at a time. */
__device__ inline void scores(
  float *factors,          // [visible]
  const float *query,      // [K]
  const signed char *key,  // [visible, K]
  const float *key_scales, // [visible]
  float scale, float cap, int visible, int K
) {
  __shared__ int tile[MOST_THREADS];
  const int threads = blockDim.x;
  const auto scaled = [&](int k) { return mul(query[k], scale); };
  const Steps steps = block_steps(scaled, K);
  // Until they are whole, sums stand as the bits of whole numbers where the factors will.
  for (int s = threadIdx.x; s < visible; s += threads) factors[s] = __int_as_float(0);
  for (int start = 0; start < K; start += threads) {
    const int width = min(threads, K - start);
    if ((int)threadIdx.x < width) tile[threadIdx.x] = round_to(steps, scaled(start + threadIdx.x));
    __syncthreads();
    for (int s = threadIdx.x; s < visible; s += threads) {
      const signed char *row = key + (size_t)s * K + start;
      int sum = __float_as_int(factors[s]);
      for (int k = 0; k < width; k++) sum += tile[k] * row[k];
      factors[s] = __int_as_float(sum);
    }
    __syncthreads();
  }
  for (int s = threadIdx.x; s < visible; s += threads)
    factors[s] = cap_score(mul(mul(steps.step, key_scales[s]), __int2float_rn(__float_as_int(factors[s]))), cap);
  __syncthreads();
}

extern "C" __global__ void attention_i8_exact(
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
  DYNAMIC_SHARED(float, factors); // [min(S, W)]
  __shared__ int numbers[VALUE_BLOCK];
  const int t = blockIdx.x / H;
  const int h = blockIdx.x % H;
  const int threads = blockDim.x;
  const bool chosen = is_chosen(heads, R, h);
  y += (size_t)blockIdx.x * K;
  for (int k = threadIdx.x; k < K; k += threads) y[k] = 0;
  if (!chosen) return;
  const auto [first, visible] = seen_of(S - T + t + 1, W);
  const size_t head = (size_t)key_head_of(key_heads, h, G, H) * C + first;
  scores(factors, query + (size_t)blockIdx.x * K, key + head * K, key_scales + head, scale, cap, visible, K);
  const float total = exponentials(factors, factors, visible);
  for (int s = threadIdx.x; s < visible; s += threads) factors[s] = mul(factors[s], value_scales[head + s]);
  __syncthreads();
  for (int start = 0, width; start < visible; start += width) {
    // A block ends in front of a multiple of its length.
    width = min(VALUE_BLOCK - (first + start) % VALUE_BLOCK, visible - start);
    const Steps steps = block_steps([&](int s) { return factors[start + s]; }, width);
    for (int s = threadIdx.x; s < width; s += threads) numbers[s] = round_to(steps, factors[start + s]);
    __syncthreads();
    for (int k = threadIdx.x; k < K; k += threads) {
      int sum = 0;
      for (int s = 0; s < width; s++) sum += numbers[s] * value[(head + start + s) * K + k];
      y[k] = add(y[k], mul(steps.step, __int2float_rn(sum)));
    }
    __syncthreads();
  }
  for (int k = threadIdx.x; k < K; k += threads) y[k] = divide(y[k], total);
}
