/**
 * Weights as they are stored, and as float32. Widening is exact; narrowing rounds to the nearest, ties to even
 * (src/tensor/dtypes.ts).
 */
#pragma once
#include "common.cuh"

struct bf16 {
  unsigned short bits;
};

struct f16 {
  unsigned short bits;
};

__device__ inline float widen(float x) { return x; }

__device__ inline float widen(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ inline float widen(f16 x) {
  const unsigned sign = (unsigned)(x.bits & 0x8000) << 16;
  const unsigned size = (unsigned)(x.bits & 0x7fff) << 13;
  if (size >= 0x7c00u << 13) return __uint_as_float(sign | 0x7f800000 | size);
  // Exponents differ by 112, also those of subnormal numbers: the product is exact.
  return __uint_as_float(sign | __float_as_uint(mul(__uint_as_float(size), power_of_two(112))));
}

__device__ inline bf16 narrow_to_bf16(float x) {
  const unsigned single = __float_as_uint(x);
  const unsigned high = single >> 16;
  if ((single & 0x7fffffff) > 0x7f800000) return {(unsigned short)(high & 0x7f ? high : high | 0x40)};
  return {(unsigned short)((single + 0x7fff + (high & 1)) >> 16)};
}

__device__ inline f16 narrow_to_f16(float x) {
  const unsigned single = __float_as_uint(x);
  const unsigned sign = (single >> 16) & 0x8000;
  const unsigned size = single & 0x7fffffff;
  if (size > 0x7f800000) {
    const unsigned payload = (size >> 13) & 0x3ff;
    return {(unsigned short)(sign | 0x7c00 | (payload ? payload : 0x200))};
  }
  if (size >= 0x477ff000) return {(unsigned short)(sign | 0x7c00)};
  if (size >= 0x38800000) {
    const unsigned rebiased = size - 0x38000000; // 2^-14 and up: normal in both
    return {(unsigned short)(sign | ((rebiased + 0xfff + ((rebiased >> 13) & 1)) >> 13))};
  }
  if (size <= 0x33000000) return {(unsigned short)sign}; // up to half the least subnormal
  const unsigned fraction = (size & 0x7fffff) | 0x800000;
  const unsigned shift = 126 - (size >> 23); // in units of 2^-24; 14 to 24
  const unsigned kept = fraction >> shift;
  const unsigned rest = fraction & ((1u << shift) - 1);
  const unsigned half = 1u << (shift - 1);
  const bool isUp = rest > half || (rest == half && (kept & 1));
  return {(unsigned short)(sign | (kept + isUp))};
}
