/** cache_append: a thread for each number of a chosen head. */
#include "shared/common.cuh"

extern "C" __global__ void cache_append_exact(
  float *cache,     // [H, C, K]
  const float *x,   // [T, H, K]
  const int *heads, // [R], ascending
  int P, int T, int C, int H, int K, int R
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)(heads ? R : H) * T * K) return;
  const size_t k = n % K;
  const size_t t = n / K % T;
  const size_t r = n / K / T;
  const size_t h = heads ? heads[r] : r;
  cache[(h * C + P + t) * K + k] = x[(t * H + h) * K + k];
}
