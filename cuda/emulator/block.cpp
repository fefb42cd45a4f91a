/**
 * Runs the threads of a block as fibers, one after another, each until it waits for others or is done.
 *
 * What is undefined on a GPU is an error here: a barrier that some threads of the block do not reach, or not the same
 * one; a shuffle whose mask names a thread that does not come, or not the one that calls; writing past shared memory.
 */
#include "block.h"
#include "fiber.h"
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

/** Where the linker put static shared memory; absent if no kernel has any. */
extern "C" {
__attribute__((weak)) extern char __start_shared_memory[];
__attribute__((weak)) extern char __stop_shared_memory[];
}

namespace emulator {

Launch launch;
Thread *running = nullptr;

namespace {

constexpr unsigned WARP = 32;
/** A byte of memory that nobody wrote: floats of such are NaN. */
constexpr int NOISE = 0xff;
/** Bytes behind the launch's shared memory that must stay as they were. */
constexpr std::size_t GUARD = 64;

std::vector<Thread> threads;
/** The first thread that was not started yet. */
std::size_t next_fresh = 0;
/** Threads that may go on, first come, first served. */
std::deque<Thread *> ready;
std::vector<Fiber *> fibers;
std::vector<Fiber *> idle;
/** The fiber that runs; the main one while no thread does. */
Fiber *current = nullptr;

void (*kernel)(void **) = nullptr;
void **arguments = nullptr;
char *shared = nullptr;
std::size_t shared_bytes = 0;
std::string failure;

void go_to(Fiber *fiber) {
  Fiber *from = current;
  current = fiber;
  switch_fiber(from, fiber);
}

void run_threads();

Fiber *take_idle() {
  if (idle.empty()) {
    fibers.push_back(make_fiber(run_threads));
    return fibers.back();
  }
  Fiber *fiber = idle.back();
  idle.pop_back();
  return fiber;
}

/** Leaves the fiber that runs, for a thread that can go on; for the main fiber if none can. */
void let_others() {
  if (!failure.empty() || (ready.empty() && next_fresh == threads.size())) {
    go_to(main_fiber());
  } else if (ready.empty()) {
    go_to(take_idle());
  } else {
    running = ready.front();
    ready.pop_front();
    running->state = State::running;
    go_to(running->fiber);
  }
}

/** What a fiber does: starts threads, one after another. Where one stops in between, another fiber goes on. */
void run_threads() {
  for (;;) {
    while (next_fresh < threads.size()) {
      running = &threads[next_fresh++];
      running->state = State::running;
      kernel(arguments);
      running->state = State::done;
    }
    idle.push_back(current);
    let_others();
  }
}

/** Stops the thread that runs until somebody sets it ready. */
void wait(State state, Site site) {
  running->state = state;
  running->site = site;
  running->fiber = current;
  let_others();
}

void set_ready(Thread &thread) {
  thread.state = State::ready;
  ready.push_back(&thread);
}

std::string name_of(const Site &site) {
  const char *slash = std::strrchr(site.file, '/');
  return std::string(slash ? slash + 1 : site.file) + ":" + std::to_string(site.line);
}

std::string describe(const Thread &thread) {
  const std::string name = "thread " + std::to_string(&thread - threads.data());
  switch (thread.state) {
  case State::at_barrier: return name + " waits at the barrier of " + name_of(thread.site);
  case State::in_warp: return name + " waits for its warp at " + name_of(thread.site);
  default: return name + " has ended";
  }
}

/** Nobody can go on: opens the barrier if all stand at it; else says who waits for whom. */
bool open_barrier() {
  const Thread &first = threads.front();
  for (const auto &thread : threads)
    if (thread.state != first.state || (thread.state == State::at_barrier && !(thread.site == first.site))) {
      failure = "expected all threads to meet, got a block in which " + describe(first) + " and " + describe(thread);
      return false;
    }
  if (first.state == State::done) return false;
  if (first.state == State::in_warp) {
    failure = "expected the threads that a mask names, got a block in which " + describe(first) + " for others";
    return false;
  }
  for (auto &thread : threads) set_ready(thread);
  return true;
}

void run_block() {
  if (__start_shared_memory != nullptr)
    std::memset(__start_shared_memory, NOISE, __stop_shared_memory - __start_shared_memory);
  std::memset(shared, NOISE, shared_bytes + GUARD);
  unsigned n = 0;
  for (auto &thread : threads) {
    const Triple place = {
      n % launch.threads.x, n / launch.threads.x % launch.threads.y, n / launch.threads.x / launch.threads.y
    };
    thread = Thread{};
    thread.place = place;
    n++;
  }
  next_fresh = 0;
  ready.clear();
  do let_others();
  while (failure.empty() && open_barrier());
  for (std::size_t i = 0; i < GUARD && failure.empty(); i++)
    if ((unsigned char)shared[shared_bytes + i] != NOISE)
      failure = "expected the memory behind " + std::to_string(shared_bytes) + " shared bytes untouched";
}

/** Whether these lanes wait at a site for the same ones. The last lane is asked first: it is the one to come last. */
bool all_there(std::size_t first, unsigned lanes, unsigned mask, const Site &site) {
  while (lanes != 0) {
    const unsigned lane = 31 - __builtin_clz(lanes);
    lanes &= ~(1u << lane);
    if (first + lane >= threads.size()) fault(name_of(site) + ": expected a mask of threads that there are");
    const Thread &thread = threads[first + lane];
    if (thread.state != State::in_warp || thread.mask != mask || !(thread.site == site)) return false;
  }
  return true;
}

/** Waits for the threads of a mask, and says which of the two numbers that each of them gave is of this meeting. */
unsigned meet_warp(unsigned mask, std::uint32_t given, Site site) {
  const std::size_t index = running - threads.data();
  const unsigned lane = index % WARP;
  const std::size_t first = index - lane;
  if (!(mask >> lane & 1)) fault(name_of(site) + ": expected a mask that names lane " + std::to_string(lane));
  const unsigned turn = running->meetings++ & 1;
  running->given[turn] = given;
  running->mask = mask;
  const unsigned others = mask & ~(1u << lane);
  if (all_there(first, others, mask, site)) {
    for (unsigned left = others; left != 0; left &= left - 1) set_ready(threads[first + __builtin_ctz(left)]);
  } else {
    wait(State::in_warp, site);
  }
  return turn;
}

} // namespace

void *dynamic_shared() { return shared; }

void meet_block(Site site) { wait(State::at_barrier, site); }

std::uint32_t exchange_in_warp(unsigned mask, std::uint32_t given, unsigned apart, Site site) {
  const std::size_t index = running - threads.data();
  const unsigned lane = index % WARP ^ apart;
  if (lane >= WARP || !(mask >> lane & 1))
    fault(name_of(site) + ": expected a mask that names lane " + std::to_string(lane));
  const unsigned turn = meet_warp(mask, given, site);
  return threads[index - index % WARP + lane].given[turn];
}

std::uint32_t add_in_warp(unsigned mask, std::uint32_t given, Site site) {
  const std::size_t index = running - threads.data();
  const unsigned turn = meet_warp(mask, given, site);
  std::uint32_t sum = 0;
  for (; mask != 0; mask &= mask - 1) sum += threads[index - index % WARP + __builtin_ctz(mask)].given[turn];
  return sum;
}

void fault(const std::string &message) {
  failure = message;
  let_others();
  std::abort(); // nobody goes back to a thread that failed
}

std::string run_grid(void (*run)(void **), void **given, Triple blocks, Triple threads_of_block, std::size_t bytes) {
  kernel = run;
  arguments = given;
  launch = {blocks, threads_of_block, {}};
  threads.resize((std::size_t)threads_of_block.x * threads_of_block.y * threads_of_block.z);
  shared_bytes = bytes;
  shared = static_cast<char *>(std::malloc(bytes + GUARD));
  if (shared == nullptr) return "expected room for shared memory";
  failure.clear();
  current = main_fiber();
  // Backwards: what depends on the order of blocks is not to have the one that looks right.
  for (unsigned n = blocks.x * blocks.y * blocks.z; n > 0 && failure.empty(); n--) {
    const unsigned index = n - 1;
    launch.block = {index % blocks.x, index / blocks.x % blocks.y, index / blocks.x / blocks.y};
    run_block();
    if (!failure.empty()) failure = "block " + std::to_string(index) + ": " + failure;
  }
  std::free(shared);
  if (!failure.empty()) {
    // Threads that were left in the middle are given up, and their stacks used anew.
    for (Fiber *fiber : fibers) reset_fiber(fiber);
    idle = fibers;
  }
  running = nullptr;
  return failure;
}

} // namespace emulator

/**
 * What -fsanitize=bounds calls where an index leaves an array whose size is known, such as one in shared memory. Ours
 * stands in for the sanitizer's library, which would only print.
 */
extern "C" void __ubsan_handle_out_of_bounds(void *data, std::uintptr_t index) {
  struct Place {
    const char *file;
    std::uint32_t line;
    std::uint32_t column;
  };
  const auto *place = static_cast<const Place *>(data);
  emulator::fault(
    emulator::name_of({place->file, (int)place->line}) + ": expected an index inside its array, got " +
    std::to_string((std::intptr_t)index)
  );
}
