/**
 * The calls of the CUDA driver that the host side makes (src/backends/cuda/driver.ts), on the processor: the device, its
 * module of kernels and its memory. Streams, events and graphs have files of their own.
 *
 * Device memory is memory. The module is compiled in: an image is only asked whether it was made from the same sources.
 * What a real driver cannot say, what exactly went wrong, is what cuGetErrorString says here.
 */
#include "state.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>

namespace emulator {

namespace {

const char *const NAME = "emulated on this processor";
/** What the text of a device says beside its name: the oldest driver that has these calls, and the oldest device. */
constexpr int DRIVER_VERSION = 12000;
constexpr int CAPABILITY_MAJOR = 8;
constexpr int CAPABILITY_MINOR = 0;
/** What one block may have of shared memory on that device: without asking, and at most. */
constexpr std::size_t SHARED = 48 * 1024;
constexpr std::size_t MOST_SHARED = 163 * 1024;
constexpr unsigned MOST_THREADS = 1024;
constexpr std::uint64_t CONTEXT = 1;

/** A byte of memory that nobody wrote: floats of such are NaN. */
constexpr int NOISE = 0xff;
/** Bytes on either side of an allocation that must stay as they were; a sanitizer has its own. */
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t GUARD = 0;
#else
constexpr std::size_t GUARD = 64;
#endif

bool initialized = false;
/** After a kernel has failed every call says so, as on a GPU. */
Result broken = SUCCESS;
/** What cuGetErrorString says of a result: why it was given last. */
std::map<int, std::string> reasons;
/** How often the context was asked for and not given back. */
std::size_t contexts = 0;
std::uint64_t last_module = 0;
std::set<std::uint64_t> modules;
std::map<std::uint64_t, std::unique_ptr<Function>> functions;
/** What is allocated: its first byte, and how many. */
std::map<std::uintptr_t, std::size_t> allocated;

/** How many calls were made, and which of them is to fail with what. */
unsigned calls = 0;
unsigned failing_call = 0;
int failing_result = SUCCESS;

bool is_noise(const unsigned char *memory, std::size_t bytes) {
  return std::all_of(memory, memory + bytes, [](unsigned char byte) { return byte == NOISE; });
}

} // namespace

Result enter_uninitialized() {
  if (++calls != failing_call) return broken;
  return refuse((Result)failing_result, "a failure that was asked for");
}

Result enter() {
  if (const Result now = enter_uninitialized()) return now;
  return initialized ? SUCCESS : refuse(NOT_INITIALIZED, "cuInit was not called");
}

Result refuse(Result result, const std::string &why) {
  reasons[result] = why;
  return result;
}

Result fail(Result result, const std::string &why) {
  broken = result;
  return refuse(result, why);
}

bool is_device(std::uintptr_t start, std::size_t bytes) {
  auto after = allocated.upper_bound(start);
  if (after == allocated.begin()) return false;
  const auto &[first, size] = *--after;
  return start - first <= size && bytes <= size - (start - first);
}

Function *function_of(std::uint64_t handle) {
  const auto found = functions.find(handle);
  return found == functions.end() ? nullptr : found->second.get();
}

Result make_task(
  Task &task, std::uint64_t handle, Triple blocks, Triple threads, std::size_t shared, std::uint64_t parameters
) {
  const Function *function = function_of(handle);
  if (function == nullptr) return refuse(INVALID_HANDLE, "expected a function of a module that is loaded");
  const std::uint64_t all_threads = (std::uint64_t)threads.x * threads.y * threads.z;
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0 || all_threads == 0 || all_threads > MOST_THREADS)
    return refuse(INVALID_VALUE, "expected blocks, and of 1 to 1024 threads");
  if (shared > function->most_shared)
    return refuse(INVALID_VALUE, "expected at most " + std::to_string(function->most_shared) + " shared bytes");
  if (parameters == 0) return refuse(INVALID_VALUE, "expected a list of arguments");
  task = {function, blocks, threads, shared, {}};
  const auto *addresses = reinterpret_cast<const void *const *>(parameters);
  for (const unsigned char *size = function->kernel->sizes; *size != 0; size++) {
    std::uint64_t slot = 0;
    std::memcpy(&slot, *addresses++, *size);
    task.arguments.push_back(slot);
  }
  return SUCCESS;
}

Result run_task(const Task &task) {
  std::vector<std::uint64_t> slots = task.arguments;
  std::vector<void *> addresses;
  for (auto &slot : slots) addresses.push_back(&slot);
  const Kernel &kernel = *task.function->kernel;
  const std::string wrong = run_grid(kernel.run, addresses.data(), task.blocks, task.threads, task.shared);
  return wrong.empty() ? SUCCESS : fail(LAUNCH_FAILED, std::string(kernel.name) + ": " + wrong);
}

} // namespace emulator

using namespace emulator;

#pragma GCC visibility push(default)
extern "C" {

int cuInit(unsigned flags) {
  if (const Result now = enter_uninitialized()) return now;
  if (flags != 0) return refuse(INVALID_VALUE, "expected flags of 0");
  initialized = true;
  return SUCCESS;
}

int cuDriverGetVersion(int *version) {
  *version = DRIVER_VERSION;
  return enter_uninitialized();
}

int cuDeviceGetCount(int *count) {
  *count = 1;
  return enter();
}

int cuDeviceGet(int *device, int ordinal) {
  if (const Result now = enter()) return now;
  *device = 0;
  return ordinal == 0 ? SUCCESS : refuse(INVALID_VALUE, "expected device 0, the only one");
}

int cuDeviceGetName(char *name, int length, int) {
  if (const Result now = enter()) return now;
  std::strncpy(name, NAME, length - 1);
  name[length - 1] = 0;
  return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int) {
  if (const Result now = enter()) return now;
  constexpr int COMPUTE_CAPABILITY_MAJOR = 75;
  constexpr int COMPUTE_CAPABILITY_MINOR = 76;
  constexpr int MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97;
  if (attribute == COMPUTE_CAPABILITY_MAJOR) *value = CAPABILITY_MAJOR;
  else if (attribute == COMPUTE_CAPABILITY_MINOR) *value = CAPABILITY_MINOR;
  else if (attribute == MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) *value = (int)MOST_SHARED;
  else return refuse(INVALID_VALUE, "expected the compute capability or the shared memory of a block");
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(std::uint64_t *context, int) {
  if (const Result now = enter()) return now;
  *context = CONTEXT;
  contexts++;
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int) {
  const Result said = enter();
  if (contexts == 0) return refuse(INVALID_CONTEXT, "expected a context that was asked for");
  contexts--;
  return said;
}

int cuCtxSetCurrent(std::uint64_t context) {
  if (const Result now = enter()) return now;
  const bool is_there = context == CONTEXT && contexts > 0;
  return is_there ? SUCCESS : refuse(INVALID_CONTEXT, "expected a context that was asked for");
}

int cuModuleLoadData(std::uint64_t *module, const char *image) {
  if (const Result now = enter()) return now;
  const char *found = std::strstr(image, "// sources: ");
  if (found == nullptr) return refuse(INVALID_IMAGE, "the module does not say what it was made from");
  found += std::strlen("// sources: ");
  if (std::strncmp(found, sources, std::strlen(sources)) != 0)
    return refuse(NO_BINARY_FOR_GPU, "the emulator was built from other kernels than the module");
  modules.insert(*module = ++last_module);
  return SUCCESS;
}

int cuModuleUnload(std::uint64_t module) {
  const Result said = enter();
  if (said == SUCCESS && is_awaited(module, 1))
    return refuse(INVALID_VALUE, "expected no work that nobody waited for");
  if (modules.erase(module) == 0) return refuse(INVALID_HANDLE, "expected a module that is loaded");
  for (auto at = functions.begin(); at != functions.end();)
    at = at->second->module == module ? functions.erase(at) : std::next(at);
  return said;
}

int cuModuleGetFunction(std::uint64_t *function, std::uint64_t module, const char *name) {
  if (const Result now = enter()) return now;
  if (modules.count(module) == 0) return refuse(INVALID_HANDLE, "expected a module that is loaded");
  for (const Kernel *kernel = kernels; kernel->name != nullptr; kernel++)
    if (std::strcmp(kernel->name, name) == 0) {
      auto made = std::make_unique<Function>(Function{kernel, module, SHARED});
      *function = reinterpret_cast<std::uint64_t>(made.get());
      functions[*function] = std::move(made);
      return SUCCESS;
    }
  return refuse(NOT_FOUND, "no kernel of that name");
}

int cuFuncSetAttribute(std::uint64_t handle, int attribute, int value) {
  if (const Result now = enter()) return now;
  constexpr int DYNAMIC_SHARED_BYTES = 8;
  Function *function = function_of(handle);
  if (function == nullptr) return refuse(INVALID_HANDLE, "expected a function of a module that is loaded");
  if (attribute != DYNAMIC_SHARED_BYTES || value < 0 || (std::size_t)value > MOST_SHARED)
    return refuse(INVALID_VALUE, "expected at most " + std::to_string(MOST_SHARED) + " shared bytes");
  function->most_shared = value;
  return SUCCESS;
}

int cuMemAlloc_v2(std::uint64_t *address, std::size_t bytes) {
  if (const Result now = enter()) return now;
  if (bytes == 0) return refuse(INVALID_VALUE, "expected a byte at least");
  auto *memory = static_cast<unsigned char *>(std::malloc(bytes + 2 * GUARD));
  if (memory == nullptr) return refuse(OUT_OF_MEMORY, "no room");
  std::memset(memory, NOISE, bytes + 2 * GUARD);
  *address = reinterpret_cast<std::uint64_t>(memory + GUARD);
  allocated[*address] = bytes;
  return SUCCESS;
}

int cuMemFree_v2(std::uint64_t address) {
  const Result said = enter();
  const auto found = allocated.find(address);
  if (found == allocated.end()) return refuse(INVALID_VALUE, "expected memory that was taken and not given back");
  const std::size_t bytes = found->second;
  // A driver may wait for work on this memory, or not.
  if (said == SUCCESS && is_awaited(address, bytes))
    return refuse(INVALID_VALUE, "expected no work that nobody waited for");
  auto *memory = reinterpret_cast<unsigned char *>(address);
  const bool untouched = is_noise(memory - GUARD, GUARD) && is_noise(memory + bytes, GUARD);
  allocated.erase(found);
  std::free(memory - GUARD);
  if (said != SUCCESS || untouched) return said;
  const std::string size = std::to_string(bytes);
  return fail(ILLEGAL_ADDRESS, "expected the memory around an allocation of " + size + " bytes untouched");
}

int cuGetErrorName(int result, const char **name) {
  static const std::map<int, const char *> names = {
    {SUCCESS, "CUDA_SUCCESS"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
    {NOT_READY, "CUDA_ERROR_NOT_READY"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
  };
  const auto found = names.find(result);
  *name = found == names.end() ? nullptr : found->second;
  return found == names.end() ? INVALID_VALUE : SUCCESS;
}

int cuGetErrorString(int result, const char **text) {
  const auto found = reasons.find(result);
  *text = found == reasons.end() ? "no error" : found->second.c_str();
  return SUCCESS;
}

/** For laws, of no driver: how many calls were made, those that say what went wrong left out. */
int emulator_calls() { return calls; }

/** For laws: the call after so many others fails, once, with this result. */
int emulator_fail_after(unsigned others, int result) {
  failing_call = calls + others + 1;
  failing_result = result;
  return SUCCESS;
}

/** For laws: how many are held of contexts, modules, allocations, streams, events, graphs, executable graphs. */
int emulator_held(int kind) {
  const std::size_t counts[] = {
    contexts,       modules.size(), allocated.size(),     count_streams(),
    count_events(), count_graphs(), count_executables(),
  };
  return kind >= 0 && (std::size_t)kind < std::size(counts) ? counts[kind] : -1;
}

} // extern "C"
#pragma GCC visibility pop
