/** What kernels.cpp has to offer: the kernels by name, and what they were compiled from. */
#pragma once

namespace emulator {

struct Kernel {
  const char *name;
  /** Runs one thread, given the addresses of its arguments. */
  void (*run)(void **arguments);
  /** How many bytes each argument has; ends with 0. */
  const unsigned char *sizes;
};

/** Ends with a kernel that has no name. */
extern const Kernel kernels[];

/** The SHA-256 of the kernels' sources, in hexadecimal. */
extern const char *const sources;

} // namespace emulator
