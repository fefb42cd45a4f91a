/**
 * How the threads of a block share work without touching the order of an addition.
 *
 * A block is whole warps, at most MOST_THREADS threads. A group is 16 threads of a warp: one for each lane of a striped
 * sum (src/ops/float32.ts). What all threads of a group, a warp or a block must call together says so.
 */
#pragma once
#include "float32.cuh"

/** The emulator has its own. */
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif

constexpr int MOST_THREADS = 256;
constexpr int WARP = 32;
/** Lanes of a striped sum. */
constexpr int LANES = 16;
constexpr unsigned WHOLE_WARP = 0xffffffff;

/** The place of this thread among all of the grid. */
__device__ inline size_t thread_of_grid() { return (size_t)blockIdx.x * blockDim.x + threadIdx.x; }

/** Which lane of its group a thread is, which group of its block, and how many groups a block has. */
__device__ inline int lane_of_group() { return threadIdx.x % LANES; }
__device__ inline int group_of_block() { return threadIdx.x / LANES; }
__device__ inline int groups_of_block() { return blockDim.x / LANES; }

/** The sixteen lanes of a striped sum, combined by the fixed tree. A group together; all get it. */
__device__ inline float combine_lanes(float sum) {
  const unsigned group = 0xffffu << (threadIdx.x & LANES);
  // What stands on either side of a + does not matter, so each step may add its partner's.
  sum = add(sum, __shfl_xor_sync(group, sum, 4));
  sum = add(sum, __shfl_xor_sync(group, sum, 8));
  sum = add(sum, __shfl_xor_sync(group, sum, 2));
  return add(sum, __shfl_xor_sync(group, sum, 1));
}

/** Striped sum of term(i), i < length. A group together; all get it. */
template <typename Term> __device__ float group_sum(Term term, int length) {
  const int whole = length - length % LANES;
  float sum = 0;
  for (int i = lane_of_group(); i < whole; i += LANES) sum = add(sum, term(i));
  sum = combine_lanes(sum);
  for (int i = whole; i < length; i++) sum = add(sum, term(i));
  return sum;
}

/**
 * The same by a whole block: every thread works out terms, the first sixteen add them. A block together; all get it.
 */
template <typename Term> __device__ float block_sum(Term term, int length) {
  __shared__ float terms[MOST_THREADS];
  __shared__ float total;
  const int thread = threadIdx.x;
  const int threads = blockDim.x;
  const int whole = length - length % LANES;
  float sum = 0;
  for (int start = 0; start < whole; start += threads) {
    if (start + thread < whole) terms[thread] = term(start + thread);
    __syncthreads();
    if (thread < LANES)
      for (int i = thread; i < threads && start + i < whole; i += LANES) sum = add(sum, terms[i]);
    __syncthreads();
  }
  if (thread < LANES) {
    sum = combine_lanes(sum);
    for (int i = whole; i < length; i++) sum = add(sum, term(i));
    if (thread == 0) total = sum;
  }
  __syncthreads();
  const float result = total;
  __syncthreads();
  return result;
}

/** One value of the 32 of a warp, by what does not mind their order. A warp together; all get it. */
template <typename Value, typename Combine> __device__ Value warp_reduce(Value value, Combine combine) {
  for (int apart = WARP / 2; apart > 0; apart /= 2)
    value = combine(value, __shfl_xor_sync(WHOLE_WARP, value, apart));
  return value;
}

/** The sum of the 32 whole numbers of a warp. A warp together; all get it. */
__device__ inline int warp_total(int value) { return __reduce_add_sync(WHOLE_WARP, value); }

/** One value of those of a block's warps. A block together, each warp with one value; all get it. */
template <typename Value, typename Combine> __device__ Value reduce_warps(Value value, Combine combine) {
  __shared__ Value warps[MOST_THREADS / WARP];
  if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = value;
  __syncthreads();
  value = warps[0];
  for (int warp = 1; warp < (int)blockDim.x / WARP; warp++) value = combine(value, warps[warp]);
  __syncthreads();
  return value;
}

/** One value of those of a block's threads. A block together; all get it. */
template <typename Value, typename Combine> __device__ Value block_reduce(Value value, Combine combine) {
  return reduce_warps(warp_reduce(value, combine), combine);
}

/** The sum of the whole numbers of a block's threads. A block together; all get it. */
__device__ inline int block_total(int value) {
  return reduce_warps(warp_total(value), [](int a, int b) { return a + b; });
}

/** The largest of x[i], i < length; NaN is passed over. A block together; all get it. */
__device__ inline float block_largest(const float *x, int length) {
  float most = -INFINITY;
  for (int i = threadIdx.x; i < length; i += blockDim.x)
    if (x[i] > most) most = x[i];
  return block_reduce(most, [](float a, float b) { return a > b ? a : b; });
}

/** Whether a unit is in an ascending list of R; all are where there is no list. */
__device__ inline bool is_chosen(const int *list, int R, int unit) {
  if (list == nullptr) return true;
  int from = 0;
  int to = R;
  while (from < to) {
    const int middle = from + (to - from) / 2;
    if (list[middle] < unit) from = middle + 1;
    else to = middle;
  }
  return from < R && list[from] == unit;
}
