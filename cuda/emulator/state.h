/**
 * What the parts of the emulated driver share: results and what is said of them, kernels that were asked for, memory, and
 * what a law wants to know or to plant. All of it is one process's and one thread's.
 */
#pragma once
#include "block.h"
#include "kernels.h"
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulator {

/** CUresult. */
enum Result {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  NO_BINARY_FOR_GPU = 209,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719,
};

/** A kernel of a loaded module: CUfunction. */
struct Function {
  const Kernel *kernel;
  std::uint64_t module;
  /** The shared memory that a launch may ask for. */
  std::size_t most_shared;
};

/** A launch whose arguments were copied, so that it can run later. */
struct Task {
  const Function *function = nullptr;
  Triple blocks;
  Triple threads;
  std::size_t shared = 0;
  std::vector<std::uint64_t> arguments;
};

/**
 * Begins every call of the driver: counts it, and gives what it must answer at once, if anything. A call that gives
 * something back does so all the same, and answers afterwards.
 */
Result enter();

/** The same for calls that need no cuInit. */
Result enter_uninitialized();

/** Answers with a result, of which cuGetErrorString will say this. */
Result refuse(Result result, const std::string &why);

/** Ends all computing: from now on every call fails, as after a kernel that failed on a GPU. */
Result fail(Result result, const std::string &why);

/** Whether a range lies inside one allocation. */
bool is_device(std::uintptr_t start, std::size_t bytes);

/** The function behind a handle; null if there is none. */
Function *function_of(std::uint64_t handle);

/** Checks a launch and copies its arguments. @param parameters the address of the list of the arguments' addresses */
Result make_task(
  Task &task, std::uint64_t function, Triple blocks, Triple threads, std::size_t shared, std::uint64_t parameters
);

/** Runs a launch. */
Result run_task(const Task &task);

/** Queues work on a stream. */
Result queue_tasks(std::uint64_t stream, std::vector<Task> tasks);

/** Whether work was queued, and not waited for, that needs something in this range: a module, or memory. */
bool is_awaited(std::uint64_t start, std::size_t bytes);

/** How many of each there are. */
std::size_t count_streams();
std::size_t count_events();
std::size_t count_graphs();
std::size_t count_executables();

} // namespace emulator
