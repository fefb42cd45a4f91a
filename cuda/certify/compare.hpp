/**
 * Numbers against what they should be, and what was found of an op: the words of src/testing/op_agreement.ts.
 */

#pragma once

#include "machine.hpp"

#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace certify {

// A number that is not what it should be.
struct Difference {
  std::string output;
  size_t index = 0;
  double expected = 0, actual = 0;
  // How far off it is: infinite where one of them is not finite and the other is something else.
  double error = 0;
  std::optional<double> tolerance;
  bool passed = false;
  size_t caseIndex = 0;
  std::string sizes;

  double share() const {
    if (!tolerance || *tolerance == 0) return error;
    return std::isfinite(*tolerance) ? error / *tolerance : 0;
  }
};

// What was found so far: of an op, or of a part of a model.
struct Tally {
  size_t compared = 0, differing = 0;
  std::optional<Difference> worst;
  std::string fault;

  bool passed() const { return fault.empty() && (!worst || worst->passed); }

  void add(const Difference &difference) {
    differing++;
    if (!worst || (worst->passed != difference.passed ? worst->passed : difference.share() > worst->share())) worst = difference;
  }

  void blame(const std::string &reason) {
    if (fault.empty()) fault = reason;
  }
};

inline bool isNan(const void *number, Kind kind) { return kind == Kind::F32 && std::isnan(valueOf(number, kind)); }

// Whether two numbers are the same, bit for bit; any NaN is a NaN.
inline bool isSame(const void *a, const void *b, Kind kind) {
  return std::memcmp(a, b, widthOf(kind)) == 0 || (isNan(a, kind) && isNan(b, kind));
}

// A tolerance that is NaN, where a term is, allows NaN for NaN; an infinite one allows anything.
inline bool isWithin(double tolerance, double actual, double expected) {
  if (std::isnan(tolerance)) return std::isnan(actual) == std::isnan(expected);
  return tolerance == INFINITY || std::fabs(actual - expected) <= tolerance;
}

// Compares numbers with expected ones; `allowed`, if it is there, says how far off each may be.
inline void compareNumbers(Tally &tally, Difference place, const unsigned char *actual, const char *expected, const char *allowed,
                           size_t count, Kind kind) {
  const size_t width = widthOf(kind);
  tally.compared += count;
  for (size_t i = 0; i < count; i++) {
    const unsigned char *const a = actual + i * width;
    const char *const e = expected + i * width;
    if (isSame(a, e, kind)) continue;
    place.index = i;
    place.actual = valueOf(a, kind);
    place.expected = valueOf(e, kind);
    const double distance = std::fabs(place.actual - place.expected);
    place.error = place.actual == place.expected ? 0 : std::isfinite(distance) ? distance : INFINITY;
    place.tolerance.reset();
    if (allowed) place.tolerance = valueOf(allowed + i * width, kind);
    place.passed = allowed && isWithin(*place.tolerance, place.actual, place.expected);
    tally.add(place);
  }
}

// SHA-256 of numbers, every NaN the same.
inline std::string hashOf(std::vector<unsigned char> bytes, Kind kind) {
  if (kind == Kind::F32)
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const uint32_t quiet = 0x7fc00000;
      if (isNan(&bytes[i], kind)) std::memcpy(&bytes[i], &quiet, 4);
    }
  return sha256(bytes.data(), bytes.size());
}

// Shortest words for a number.
inline std::string words(double value) {
  char text[32];
  for (int digits = 6; digits <= 17; digits++) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

} // namespace certify
