/**
 * What a running kernel sees of the emulator: its place in the grid, and where its threads meet.
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace emulator {

struct Fiber;

struct Triple {
  unsigned x = 1, y = 1, z = 1;
};

/** A line of a kernel's source. */
struct Site {
  const char *file = nullptr;
  int line = 0;
  bool operator==(const Site &other) const { return file == other.file && line == other.line; }
};

/** The launch that is running; one does at a time. */
struct Launch {
  Triple blocks;
  Triple threads;
  /** Which block runs. */
  Triple block;
};
extern Launch launch;

enum class State { fresh, running, at_barrier, in_warp, ready, done };

/** A thread of the running block. */
struct Thread {
  Triple place;
  State state = State::fresh;
  /** Where it waits, and for whom of its warp. */
  Site site;
  unsigned mask = 0;
  /** How often it met others of its warp, and what it gave the last two times: one may be ahead by one. */
  unsigned meetings = 0;
  std::uint32_t given[2] = {0, 0};
  /** The fiber it stopped on. */
  Fiber *fiber = nullptr;
};

/** The thread that runs now. */
extern Thread *running;
inline Thread &thread() { return *running; }

/** The shared memory that the launch asked for. */
void *dynamic_shared();

/** Waits for all threads of the block. They must all come to the same line. */
void meet_block(Site site);

/** Waits for the threads of this warp that the mask names, then gives what the one `apart` away (xor) gave. */
std::uint32_t exchange_in_warp(unsigned mask, std::uint32_t given, unsigned apart, Site site);

/** The same, and gives the sum of what all of them gave. */
std::uint32_t add_in_warp(unsigned mask, std::uint32_t given, Site site);

/** Ends the launch with an error. Called by a kernel's thread; does not return to it. */
[[noreturn]] void fault(const std::string &message);

/**
 * Runs a grid, one block after another.
 * @return what went wrong, in one line; empty if nothing did
 */
std::string run_grid(void (*kernel)(void **), void **arguments, Triple blocks, Triple threads, std::size_t shared);

} // namespace emulator
