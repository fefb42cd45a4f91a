/**
 * The calls of the CUDA driver that the host side makes (src/backends/cuda/driver.ts), on the processor.
 *
 * Device memory is memory; a launch has ended when it returns. The module is compiled in: an image is only asked
 * whether it was made from the same sources. What a real driver cannot say, what exactly went wrong in a kernel, is what
 * cuGetErrorString says here.
 */
#include "block.h"
#include "kernels.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace {

using emulator::Kernel;

enum Result {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  INVALID_IMAGE = 200,
  NO_BINARY_FOR_GPU = 209,
  NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719,
};

const char *const NAME = "emulated on this processor";
/** What one block may have of shared memory on the oldest GPU that the kernels are for: without asking, and at most. */
constexpr std::size_t SHARED = 48 * 1024;
constexpr std::size_t MOST_SHARED = 163 * 1024;
constexpr unsigned MOST_THREADS = 1024;

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
std::string failed;
/** What is allocated: its first byte, and how many. */
std::map<std::uintptr_t, std::size_t> allocated;
std::map<const Kernel *, std::size_t> granted;

Result state() {
  if (!initialized) return NOT_INITIALIZED;
  return failed.empty() ? SUCCESS : LAUNCH_FAILED;
}

/** Whether a range lies inside one allocation. */
bool is_device(std::uintptr_t start, std::size_t bytes) {
  auto after = allocated.upper_bound(start);
  if (after == allocated.begin()) return false;
  const auto &[first, size] = *--after;
  return start - first <= size && bytes <= size - (start - first);
}

bool is_noise(const unsigned char *memory, std::size_t bytes) {
  return std::all_of(memory, memory + bytes, [](unsigned char byte) { return byte == NOISE; });
}

Result check(std::uintptr_t start, std::size_t bytes) {
  if (const Result now = state()) return now;
  return is_device(start, bytes) ? SUCCESS : INVALID_VALUE;
}

} // namespace

#pragma GCC visibility push(default)
extern "C" {

int cuInit(unsigned flags) {
  if (flags != 0) return INVALID_VALUE;
  initialized = true;
  return SUCCESS;
}

int cuDeviceGetCount(int *count) {
  *count = 1;
  return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
  *device = 0;
  return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}

int cuDeviceGetName(char *name, int length, int) {
  std::strncpy(name, NAME, length - 1);
  name[length - 1] = 0;
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(std::uint64_t *context, int) {
  *context = 1;
  return state();
}

int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }

int cuCtxSetCurrent(std::uint64_t) { return state(); }

int cuModuleLoadData(std::uint64_t *module, const char *image) {
  if (const Result now = state()) return now;
  const char *found = std::strstr(image, "// sources: ");
  if (found == nullptr) return INVALID_IMAGE;
  found += std::strlen("// sources: ");
  if (std::strncmp(found, emulator::sources, std::strlen(emulator::sources)) != 0) return NO_BINARY_FOR_GPU;
  *module = 1;
  return SUCCESS;
}

int cuModuleUnload(std::uint64_t) { return SUCCESS; }

int cuModuleGetFunction(std::uint64_t *function, std::uint64_t, const char *name) {
  for (const Kernel *kernel = emulator::kernels; kernel->name != nullptr; kernel++)
    if (std::strcmp(kernel->name, name) == 0) {
      *function = reinterpret_cast<std::uint64_t>(kernel);
      return state();
    }
  return NOT_FOUND;
}

int cuFuncSetAttribute(std::uint64_t function, int attribute, int value) {
  constexpr int DYNAMIC_SHARED_BYTES = 8;
  if (attribute != DYNAMIC_SHARED_BYTES || value < 0 || (std::size_t)value > MOST_SHARED) return INVALID_VALUE;
  granted[reinterpret_cast<const Kernel *>(function)] = value;
  return state();
}

int cuMemAlloc_v2(std::uint64_t *address, std::size_t bytes) {
  if (const Result now = state()) return now;
  if (bytes == 0) return INVALID_VALUE;
  auto *memory = static_cast<unsigned char *>(std::malloc(bytes + 2 * GUARD));
  if (memory == nullptr) return OUT_OF_MEMORY;
  std::memset(memory, NOISE, bytes + 2 * GUARD);
  *address = reinterpret_cast<std::uint64_t>(memory + GUARD);
  allocated[*address] = bytes;
  return SUCCESS;
}

int cuMemFree_v2(std::uint64_t address) {
  const auto found = allocated.find(address);
  if (found == allocated.end()) return INVALID_VALUE;
  const std::size_t bytes = found->second;
  auto *memory = reinterpret_cast<unsigned char *>(address);
  const bool untouched = is_noise(memory - GUARD, GUARD) && is_noise(memory + bytes, GUARD);
  allocated.erase(found);
  std::free(memory - GUARD);
  if (untouched) return SUCCESS;
  failed = "expected the memory around an allocation of " + std::to_string(bytes) + " bytes untouched";
  return ILLEGAL_ADDRESS;
}

int cuMemcpyHtoD_v2(std::uint64_t to, const void *from, std::size_t bytes) {
  if (const Result wrong = check(to, bytes)) return wrong;
  std::memcpy(reinterpret_cast<void *>(to), from, bytes);
  return SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, std::uint64_t from, std::size_t bytes) {
  if (const Result wrong = check(from, bytes)) return wrong;
  std::memcpy(to, reinterpret_cast<const void *>(from), bytes);
  return SUCCESS;
}

int cuMemsetD8_v2(std::uint64_t to, unsigned char value, std::size_t bytes) {
  if (const Result wrong = check(to, bytes)) return wrong;
  std::memset(reinterpret_cast<void *>(to), value, bytes);
  return SUCCESS;
}

int cuLaunchKernel(
  std::uint64_t function, unsigned blocks_x, unsigned blocks_y, unsigned blocks_z, unsigned threads_x,
  unsigned threads_y, unsigned threads_z, unsigned shared, std::uint64_t, std::uint64_t parameters, std::uint64_t
) {
  if (const Result now = state()) return now;
  const auto *kernel = reinterpret_cast<const Kernel *>(function);
  const std::uint64_t threads = (std::uint64_t)threads_x * threads_y * threads_z;
  const std::size_t most = granted.count(kernel) ? granted[kernel] : SHARED;
  if (blocks_x == 0 || blocks_y == 0 || blocks_z == 0 || threads == 0 || threads > MOST_THREADS || shared > most)
    return INVALID_VALUE;
  const std::string wrong = emulator::run_grid(
    kernel->run, reinterpret_cast<void **>(parameters), {blocks_x, blocks_y, blocks_z},
    {threads_x, threads_y, threads_z}, shared
  );
  if (wrong.empty()) return SUCCESS;
  failed = std::string(kernel->name) + ": " + wrong;
  return LAUNCH_FAILED;
}

int cuGetErrorName(int result, const char **name) {
  static const std::map<int, const char *> names = {
    {SUCCESS, "CUDA_SUCCESS"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
  };
  const auto found = names.find(result);
  *name = found == names.end() ? nullptr : found->second;
  return found == names.end() ? INVALID_VALUE : SUCCESS;
}

int cuGetErrorString(int result, const char **text) {
  static const std::map<int, const char *> texts = {
    {INVALID_VALUE, "an argument is out of range"},
    {OUT_OF_MEMORY, "no room"},
    {NOT_INITIALIZED, "cuInit was not called"},
    {INVALID_IMAGE, "the module does not say what it was made from"},
    {NO_BINARY_FOR_GPU, "the emulator was built from other kernels than the module"},
    {NOT_FOUND, "no kernel of that name"},
  };
  const auto found = texts.find(result);
  if (result == LAUNCH_FAILED || result == ILLEGAL_ADDRESS) *text = failed.c_str();
  else *text = found == texts.end() ? "no error" : found->second;
  return SUCCESS;
}

} // extern "C"
#pragma GCC visibility pop
