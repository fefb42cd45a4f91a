/**
 * Kinds of numbers, and numbers that follow from a seed and their place: the rules of scripts/cuda/certify/generated.ts.
 */

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

namespace certify {

enum class Kind { F32, I32, BF16, F16, I8, I4 };

// What a kind is called in a program and in a file of tensors, and how many bytes one of it takes.
struct KindName {
  Kind kind;
  const char *name;
  const char *stored;
  size_t width;
};

inline constexpr KindName KINDS[] = {{Kind::F32, "f32", "F32", 4},
                                     {Kind::I32, "i32", "I32", 4},
                                     {Kind::BF16, "bf16", "BF16", 2},
                                     {Kind::F16, "f16", "F16", 2},
                                     {Kind::I8, "i8", "I8", 1},
                                     {Kind::I4, "i4", "U8", 1}};

inline size_t widthOf(Kind kind) { return KINDS[static_cast<int>(kind)].width; }

// 32 bits from a seed and a place: the last step of MurmurHash3.
inline uint32_t mix(uint32_t seed, uint32_t place) {
  uint32_t z = place * 0x9e3779b9u + seed;
  z = (z ^ z >> 16) * 0x85ebca6bu;
  z = (z ^ z >> 13) * 0xc2b2ae35u;
  return z ^ z >> 16;
}

inline float plainNumber(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-22f - 2.0f; }

inline uint16_t halfPattern(uint32_t bits, uint32_t least, int mantissa) {
  const uint32_t exponent = least + (bits >> 16 & 0x7fff) % 6;
  return static_cast<uint16_t>(bits >> 31 << 15 | exponent << mantissa | (bits & ((1u << mantissa) - 1)));
}

// Writes one number of a kind where `to` points.
inline void generateNumber(void *to, Kind kind, uint32_t bits) {
  if (kind == Kind::F32) {
    const float value = plainNumber(bits);
    std::memcpy(to, &value, 4);
  } else if (kind == Kind::I32) {
    const int32_t value = static_cast<int32_t>(bits) >> 8;
    std::memcpy(to, &value, 4);
  } else if (kind == Kind::I8) {
    const int8_t value = static_cast<int8_t>(static_cast<int>(bits % 255) - 127);
    std::memcpy(to, &value, 1);
  } else if (kind == Kind::I4) {
    *static_cast<uint8_t *>(to) = static_cast<uint8_t>(bits & 0xbf);
  } else {
    const uint16_t value = kind == Kind::BF16 ? halfPattern(bits, 122, 7) : halfPattern(bits, 10, 10);
    std::memcpy(to, &value, 2);
  }
}

inline float widenF16(uint16_t pattern) {
  const int exponent = pattern >> 10 & 31;
  const float mantissa = static_cast<float>(pattern & 1023);
  const float size = exponent == 31  ? (mantissa > 0 ? NAN : INFINITY)
                     : exponent == 0 ? std::ldexp(mantissa, -24)
                                     : std::ldexp(1024.0f + mantissa, exponent - 25);
  return pattern >> 15 ? -size : size;
}

inline float widenBf16(uint16_t pattern) {
  const uint32_t bits = static_cast<uint32_t>(pattern) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// A number of any kind as a double, which holds all of them.
inline double valueOf(const void *from, Kind kind) {
  if (kind == Kind::F32) {
    float value;
    std::memcpy(&value, from, 4);
    return value;
  }
  if (kind == Kind::I32) {
    int32_t value;
    std::memcpy(&value, from, 4);
    return value;
  }
  if (kind == Kind::I8) return *static_cast<const int8_t *>(from);
  if (kind == Kind::I4) return *static_cast<const uint8_t *>(from);
  uint16_t pattern;
  std::memcpy(&pattern, from, 2);
  return kind == Kind::BF16 ? widenBf16(pattern) : widenF16(pattern);
}

} // namespace certify
