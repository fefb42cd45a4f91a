/**
 * top_k: one block. The key of the R-th highest score is found bit by bit from the top, each bit by counting; then every
 * thread, which has a run of neighbouring units, writes those of its run that are in, once it knows how many are before.
 */
#include "shared/common.cuh"

/** A score as an unsigned number: in the same order, both zeros alike, NaN below everything. */
__device__ inline unsigned key_of(float score) {
  if (score != score) return 0;
  const unsigned bits = __float_as_uint(add(score, 0)); // -0 becomes +0
  return bits >> 31 ? ~bits : bits | 0x80000000;
}

extern "C" __global__ void top_k_exact(
  int *indices,        // [R], ascending
  const float *scores, // [N]
  int N, int R
) {
  __shared__ int above_of[MOST_THREADS];
  __shared__ int equal_of[MOST_THREADS];
  const int thread = threadIdx.x;
  const int threads = blockDim.x;
  if (R == 0) return;
  unsigned threshold = 0;
  for (int bit = 31; bit >= 0; bit--) {
    const unsigned candidate = threshold | 1u << bit;
    int count = 0;
    for (int n = thread; n < N; n += threads) count += key_of(scores[n]) >= candidate;
    if (block_total(count) >= R) threshold = candidate;
  }
  const int run = (N + threads - 1) / threads;
  const int from = (int)min((long long)thread * run, (long long)N);
  const int to = min(from + run, N);
  int above = 0;
  int equal = 0;
  for (int n = from; n < to; n++) {
    const unsigned key = key_of(scores[n]);
    above += key > threshold;
    equal += key == threshold;
  }
  above_of[thread] = above;
  equal_of[thread] = equal;
  // Of those that are equal to the R-th highest, the first ones are in.
  int equals_in = R - block_total(above);
  int place = 0;
  for (int before = 0; before < thread; before++) {
    const int taken = min(equal_of[before], equals_in);
    place += above_of[before] + taken;
    equals_in -= taken;
  }
  for (int n = from; n < to; n++) {
    const unsigned key = key_of(scores[n]);
    if (key > threshold || (key == threshold && equals_in-- > 0)) indices[place++] = n;
  }
}
