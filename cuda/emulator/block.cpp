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
std::vector<Fiber *> fibers;
std::vector<int> idle;
int current_fiber = -1;

void (*kernel)(void **) = nullptr;
void **arguments = nullptr;
char *shared = nullptr;
std::size_t shared_bytes = 0;
std::string failure;

/** What a fiber does: starts threads, one after another. Where one stops in between, another fiber goes on. */
void run_threads() {
  for (;;) {
    while (next_fresh < threads.size()) {
      running = &threads[next_fresh++];
      running->state = State::running;
      kernel(arguments);
      running->state = State::done;
    }
    idle.push_back(current_fiber);
    leave_fiber();
  }
}

void enter(int fiber) {
  current_fiber = fiber;
  enter_fiber(fibers[fiber]);
}

/** Stops the thread that runs until somebody sets it ready. */
void wait(State state, Site site) {
  Thread *self = running;
  self->state = state;
  self->site = site;
  self->fiber = current_fiber;
  leave_fiber();
}

void start_fresh() {
  while (next_fresh < threads.size() && failure.empty()) {
    if (idle.empty()) {
      idle.push_back(fibers.size());
      fibers.push_back(make_fiber(run_threads));
    }
    const int fiber = idle.back();
    idle.pop_back();
    enter(fiber);
  }
}

/** Lets ready threads go on, once each; whether there was one. */
bool resume_ready() {
  bool any = false;
  for (auto &thread : threads) {
    if (thread.state != State::ready) continue;
    any = true;
    running = &thread;
    thread.state = State::running;
    enter(thread.fiber);
    if (!failure.empty()) return false;
  }
  return any;
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
  for (auto &thread : threads) thread.state = State::ready;
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
  start_fresh();
  do {
    while (resume_ready()) {}
  } while (failure.empty() && open_barrier());
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

} // namespace

void *dynamic_shared() { return shared; }

void meet_block(Site site) { wait(State::at_barrier, site); }

std::uint32_t meet_warp(unsigned mask, std::uint32_t given, unsigned apart, Site site) {
  Thread *self = running;
  const std::size_t index = self - threads.data();
  const std::size_t first = index - index % WARP;
  const unsigned lane = index % WARP;
  if (!(mask >> lane & 1)) fault(name_of(site) + ": expected a mask that names lane " + std::to_string(lane));
  if (!(mask >> (lane ^ apart) & 1))
    fault(name_of(site) + ": expected a mask that names lane " + std::to_string(lane ^ apart));
  const unsigned turn = self->meetings++ & 1;
  self->given[turn] = given;
  self->mask = mask;
  if (all_there(first, mask & ~(1u << lane), mask, site)) {
    for (unsigned others = mask & ~(1u << lane); others != 0; others &= others - 1)
      threads[first + __builtin_ctz(others)].state = State::ready;
  } else {
    wait(State::in_warp, site);
  }
  const Thread &partner = threads[first + (lane ^ apart)];
  // The partner may have met us once more by now, but not twice.
  return partner.given[turn];
}

void fault(const std::string &message) {
  failure = message;
  leave_fiber();
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
  for (unsigned z = 0; z < blocks.z && failure.empty(); z++)
    for (unsigned y = 0; y < blocks.y && failure.empty(); y++)
      for (unsigned x = 0; x < blocks.x && failure.empty(); x++) {
        launch.block = {x, y, z};
        run_block();
        if (!failure.empty()) failure = "block " + std::to_string(x) + ": " + failure;
      }
  std::free(shared);
  if (!failure.empty()) {
    // Threads that were left in the middle are given up, and their stacks used anew.
    idle.clear();
    for (std::size_t i = 0; i < fibers.size(); i++) {
      reset_fiber(fibers[i]);
      idle.push_back(i);
    }
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
