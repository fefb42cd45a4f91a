/**
 * Numbers four at a time, and their sums, for the kernels that trade bits for speed.
 *
 * Which numbers a thread takes and in what order it adds them follows from their places alone. Where an address allows
 * no wide load, or a row does not end with one, the same thread takes the same numbers one by one: a result depends on no
 * alignment, and not on what else a launch computes.
 */
#pragma once
#include "../shared/storage.cuh"

namespace fast {

/** Numbers of a wide load: 16 bytes of float32, 8 of half precision, 4 of int8. */
constexpr int WIDE = 4;

/** Whether wide loads are allowed of every row of `length` numbers, one after another from x on. */
template <typename Stored> __device__ inline bool is_wide(const Stored *x, size_t length) {
  return reinterpret_cast<size_t>(x) % (WIDE * sizeof(Stored)) == 0 && length % WIDE == 0;
}

/** What a pattern of f16 is worth, by the instruction for it. */
__device__ inline float widen_f16(unsigned bits) {
#ifdef __CUDACC__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
  return x;
#else
  return widen(f16{(unsigned short)bits});
#endif
}

__device__ inline float4 load_wide(const float *x) { return *reinterpret_cast<const float4 *>(x); }

__device__ inline float4 load_wide(const bf16 *x) {
  const uint2 pairs = *reinterpret_cast<const uint2 *>(x);
  return {
    __uint_as_float(pairs.x << 16), __uint_as_float(pairs.x & 0xffff0000), __uint_as_float(pairs.y << 16),
    __uint_as_float(pairs.y & 0xffff0000)
  };
}

__device__ inline float4 load_wide(const f16 *x) {
  const uint2 pairs = *reinterpret_cast<const uint2 *>(x);
  return {
    widen_f16(pairs.x & 0xffff), widen_f16(pairs.x >> 16), widen_f16(pairs.y & 0xffff), widen_f16(pairs.y >> 16)
  };
}

/** The first `count` of four numbers one by one, and 0 for the others, which are not looked at. */
template <typename Stored> __device__ inline float4 load_part(const Stored *x, int count) {
  return {
    count > 0 ? widen(x[0]) : 0, count > 1 ? widen(x[1]) : 0, count > 2 ? widen(x[2]) : 0, count > 3 ? widen(x[3]) : 0
  };
}

/** Writes the first `count` of four numbers, all of them at once where that is allowed. */
__device__ inline void store_four(float *y, bool wide, int count, float4 four) {
  if (wide) {
    *reinterpret_cast<float4 *>(y) = four;
    return;
  }
  if (count > 0) y[0] = four.x;
  if (count > 1) y[1] = four.y;
  if (count > 2) y[2] = four.z;
  if (count > 3) y[3] = four.w;
}

/** sum + a * b, rounded once. */
__device__ inline float multiply_add(float a, float b, float sum) { return __fmaf_rn(a, b, sum); }

/** sum + a.x * b.x + ... + a.w * b.w, added in that order. */
__device__ inline float multiply_add(float4 a, float4 b, float sum) {
  sum = multiply_add(a.x, b.x, sum);
  sum = multiply_add(a.y, b.y, sum);
  sum = multiply_add(a.z, b.z, sum);
  return multiply_add(a.w, b.w, sum);
}

/** sum + a * b, number by number. */
__device__ inline float4 multiply_add(float a, float4 b, float4 sum) {
  return {
    multiply_add(a, b.x, sum.x), multiply_add(a, b.y, sum.y), multiply_add(a, b.z, sum.z), multiply_add(a, b.w, sum.w)
  };
}

/** The sum of the 32 of a warp. A warp together; all get it. */
__device__ inline float warp_sum(float value) { return warp_reduce(value, add); }

/** The sum of those of the 16 threads of a group. A group together; all get it. */
__device__ inline float group_sum(float value) {
  const unsigned group = 0xffffu << (threadIdx.x & LANES);
  for (int apart = LANES / 2; apart > 0; apart /= 2) value = add(value, __shfl_xor_sync(group, value, apart));
  return value;
}

/**
 * The sum of those of a block's threads: a tree over each warp, then the warps in order. More threads that have 0 change
 * nothing. A block together; all get it.
 */
__device__ inline float block_sum(float value) { return block_reduce(value, add); }

/** Calls back with each number of a row and its place, four neighbours to a thread at a time. */
template <typename Visit> __device__ inline void each_of_row(const float *x, bool wide, int length, Visit visit) {
  for (int i = threadIdx.x * WIDE; i < length; i += blockDim.x * WIDE) {
    if (wide) {
      const float4 four = load_wide(x + i);
      visit(i, four.x);
      visit(i + 1, four.y);
      visit(i + 2, four.z);
      visit(i + 3, four.w);
    } else {
      for (int n = i; n < min(i + WIDE, length); n++) visit(n, x[n]);
    }
  }
}

/**
 * y[i] = e^(x[i] - max x), i < length; x may be y. A thread has every blockDim-th number. A block together; all get the
 * sum, and see y.
 */
__device__ inline float exponentials(float *y, const float *x, int length) {
  const float most = block_largest(x, length);
  float sum = 0;
  for (int i = threadIdx.x; i < length; i += blockDim.x) {
    y[i] = exp32(sub(x[i], most));
    sum = add(sum, y[i]);
  }
  return block_sum(sum);
}

} // namespace fast
