/**
 * Bytes by the word, and exact inner products of int8 numbers with int16 numbers: what the int8 and int4 kernels of this set
 * share.
 *
 * Exact sums have no order, so these kernels give the bits of the definition however they divide the work.
 */
#pragma once
#include "../shared/quantized.cuh"

namespace fast {

/** Bytes of a wide load. */
constexpr int BYTES = 16;

/** Whether 16 bytes at a time may be read of every row of `length` bytes, one after another from x on. */
__device__ inline bool is_wide_row(const void *x, size_t length) {
  return (reinterpret_cast<size_t>(x) | length) % BYTES == 0;
}

/** The first `count` of four bytes as a word, the others 0. */
template <typename Byte> __device__ inline int load_word(const Byte *x, int count) {
  unsigned word = 0;
  for (int n = 0; n < 4; n++)
    if (n < count) word |= (unsigned)(unsigned char)x[n] << 8 * n;
  return (int)word;
}

/** The first `count` of 16 bytes, the others 0. */
template <typename Byte> __device__ inline int4 load_bytes(const Byte *x, bool wide, int count) {
  if (wide) return *reinterpret_cast<const int4 *>(x);
  return {load_word(x, count), load_word(x + 4, count - 4), load_word(x + 8, count - 8), load_word(x + 12, count - 12)};
}

/** Byte n of a word. */
__device__ inline int byte_of(int word, int n) { return (signed char)(word >> 8 * n); }

/** Eight numbers as int16: number(0) to number(7). */
template <typename Number> __device__ inline int4 pack(Number number) {
  const auto pair = [&](int n) { return (number(n) & 0xffff) | (int)((unsigned)number(n + 1) << 16); };
  return {pair(0), pair(2), pair(4), pair(6)};
}

/** sum + the inner product of 16 bytes with 16 numbers as int16. */
__device__ inline int dot_bytes(int4 bytes, int4 low, int4 high, int sum) {
  sum = __dp2a_hi(low.y, bytes.x, __dp2a_lo(low.x, bytes.x, sum));
  sum = __dp2a_hi(low.w, bytes.y, __dp2a_lo(low.z, bytes.y, sum));
  sum = __dp2a_hi(high.y, bytes.z, __dp2a_lo(high.x, bytes.z, sum));
  return __dp2a_hi(high.w, bytes.w, __dp2a_lo(high.z, bytes.w, sum));
}

/**
 * Rounds x(i), i < width, to int16 in groups of eight, 0 after the last, up to whole wide loads. A block together; who
 * reads them waits first.
 */
template <typename X> __device__ inline void pack_steps(int4 *tile, X x, Steps steps, int width) {
  const int groups = (width + BYTES - 1) / BYTES * 2;
  for (int n = threadIdx.x; n < groups; n += blockDim.x)
    tile[n] = pack([&](int i) { return n * 8 + i < width ? round_to(steps, x(n * 8 + i)) : 0; });
}

} // namespace fast
