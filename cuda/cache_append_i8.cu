/** cache_append_i8: a block for each token of a chosen head. */
#include "shared/quantized.cuh"

extern "C" __global__ void cache_append_i8_exact(
  signed char *cache, // [H, C, K]
  float *scales,      // [H, C]
  const float *x,     // [T, H, K]
  const int *heads,   // [R], ascending
  int P, int T, int C, int H, int K, int R
) {
  const size_t r = blockIdx.x / T;
  const size_t t = blockIdx.x % T;
  if (r >= (size_t)(heads ? R : H)) return;
  const size_t h = heads ? heads[r] : r;
  const size_t place = h * C + P + t;
  const float scale = quantize_row(cache + place * K, x + (t * H + h) * K, K);
  if (threadIdx.x == 0) scales[place] = scale;
}
