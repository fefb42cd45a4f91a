/**
 * The CUDA that the kernels use, for a C++ compiler: kernels.cpp includes it before the very same .cu files.
 *
 * Threads are fibers (block.h). float arithmetic is the processor's own IEEE float32; -ffp-contract=off keeps the
 * compiler from fusing it.
 */
#pragma once
#include "block.h"
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#define __global__
/** Static: what a template keeps in shared memory must not be common to several files, or gcc refuses its section. */
#define __device__ static

/**
 * Shared memory is static memory, for one block runs at a time. It stands in a section of its own, which is filled with
 * noise before each block: nothing of the block before is to be seen. An address sanitizer wants it among other data.
 */
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static
#else
#define __shared__ static __attribute__((section("shared_memory")))
#endif
#define DYNAMIC_SHARED(type, name) type *name = (type *)emulator::dynamic_shared()

#define threadIdx (emulator::thread().place)
#define blockIdx (emulator::launch.block)
#define blockDim (emulator::launch.threads)
#define gridDim (emulator::launch.blocks)

using std::max;
using std::min;

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float x) { return std::sqrt(x); }
static inline float __int2float_rn(int x) { return (float)x; }

static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

/** Bytes `first` and `first` + 1 of a word times the two halves of another, added to a sum. */
static inline int emulated_dp2a(int halves, int bytes, int sum, int first) {
  const auto byte = [&](int n) { return (int)(signed char)(bytes >> 8 * n); };
  const int products = (short)halves * byte(first) + (halves >> 16) * byte(first + 1);
  return (int)((unsigned)sum + (unsigned)products);
}
static inline int __dp2a_lo(int halves, int bytes, int sum) { return emulated_dp2a(halves, bytes, sum, 0); }
static inline int __dp2a_hi(int halves, int bytes, int sum) { return emulated_dp2a(halves, bytes, sum, 2); }

/** The inner product of four signed bytes and four others, added to a sum. */
static inline int __dp4a(int a, int b, int sum) {
  for (int n = 0; n < 4; n++) sum += (signed char)(a >> 8 * n) * (signed char)(b >> 8 * n);
  return sum;
}

/** Four of the eight bytes of two words: byte n is the one that digit n of the selector, in hexadecimal, names. */
static inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const unsigned long long both = (unsigned long long)high << 32 | low;
  unsigned word = 0;
  for (int n = 0; n < 4; n++) word |= (unsigned)(both >> 8 * (selector >> 4 * n & 7) & 0xff) << 8 * n;
  return word;
}

template <typename To, typename From> static inline To emulated_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
static inline float __int_as_float(int x) { return emulated_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
static inline int __float_as_int(float x) { return emulated_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }

static inline void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::meet_block({file, line});
}

static inline void __syncwarp(
  unsigned mask = 0xffffffff, const char *file = __builtin_FILE(), int line = __builtin_LINE()
) {
  emulator::add_in_warp(mask, 0, {file, line});
}

template <typename Value>
static inline Value __shfl_xor_sync(
  unsigned mask, Value value, int apart, const char *file = __builtin_FILE(), int line = __builtin_LINE()
) {
  const unsigned given = emulated_bits<unsigned>(value);
  return emulated_bits<Value>(emulator::exchange_in_warp(mask, given, apart, {file, line}));
}

static inline int __reduce_add_sync(
  unsigned mask, int value, const char *file = __builtin_FILE(), int line = __builtin_LINE()
) {
  return (int)emulator::add_in_warp(mask, (unsigned)value, {file, line});
}
