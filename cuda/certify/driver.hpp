/**
 * The CUDA driver, found while the program runs: it is linked against nothing of CUDA, so it starts where there is none and
 * says so. The emulator (cuda/emulator) is a library with the same calls.
 *
 * Handles are addresses, as in cuda.h. Calls that older drivers or the emulator may lack are null where they are missing,
 * and what needs them is left out and named.
 */

#pragma once

#include "errors.hpp"

#include <cstdint>
#include <dlfcn.h>
#include <string>

namespace certify {

using Handle = void *;
using Address = unsigned long long; // CUdeviceptr

// CUDA_KERNEL_NODE_PARAMS_v2
struct KernelNode {
  Handle function;
  unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes;
  void **parameters;
  void **extra;
  Handle kernel;
  Handle context;
};

// What cuda.h defines these as.
constexpr int SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100, DYNAMIC_SHARED_BYTES = 8;
constexpr unsigned NON_BLOCKING = 1;
constexpr int CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76;

class Driver {
public:
  int (*cuInit)(unsigned);
  int (*cuDeviceGetCount)(int *);
  int (*cuDeviceGet)(int *, int);
  int (*cuDeviceGetName)(char *, int, int);
  int (*cuDevicePrimaryCtxRetain)(Handle *, int);
  int (*cuDevicePrimaryCtxRelease_v2)(int);
  int (*cuCtxSetCurrent)(Handle);
  int (*cuModuleLoadData)(Handle *, const void *);
  int (*cuModuleUnload)(Handle);
  int (*cuModuleGetFunction)(Handle *, Handle, const char *);
  int (*cuFuncSetAttribute)(Handle, int, int);
  int (*cuMemAlloc_v2)(Address *, size_t);
  int (*cuMemFree_v2)(Address);
  int (*cuStreamCreate)(Handle *, unsigned);
  int (*cuStreamSynchronize)(Handle);
  int (*cuStreamDestroy_v2)(Handle);
  int (*cuMemcpyHtoDAsync_v2)(Address, const void *, size_t, Handle);
  int (*cuMemcpyDtoHAsync_v2)(void *, Address, size_t, Handle);
  int (*cuMemsetD8Async)(Address, unsigned char, size_t, Handle);
  int (*cuLaunchKernel)(Handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Handle, void **, void **);
  int (*cuGetErrorName)(int, const char **);
  int (*cuGetErrorString)(int, const char **);

  // These may be missing.
  int (*cuDriverGetVersion)(int *);
  int (*cuDeviceGetAttribute)(int *, int, int);
  int (*cuEventCreate)(Handle *, unsigned);
  int (*cuEventRecord)(Handle, Handle);
  int (*cuEventElapsedTime)(float *, Handle, Handle);
  int (*cuEventDestroy_v2)(Handle);
  int (*cuGraphCreate)(Handle *, unsigned);
  int (*cuGraphAddKernelNode_v2)(Handle *, Handle, const Handle *, size_t, const KernelNode *);
  int (*cuGraphInstantiateWithFlags)(Handle *, Handle, unsigned long long);
  int (*cuGraphLaunch)(Handle, Handle);
  int (*cuGraphExecDestroy)(Handle);
  int (*cuGraphDestroy)(Handle);

  // The device in words, and what is called "emulated" there: no figure of that is one of a GPU.
  std::string device;
  bool isEmulated = false;

  explicit Driver(const std::string &path) {
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw Error(MISSING, "driver: expected the NVIDIA driver (" + path + "), got none: " + dlerror());
    findCalls(path);
    start();
  }

  Driver(const Driver &) = delete;
  Driver &operator=(const Driver &) = delete;

  ~Driver() {
    if (!hasContext) return;
    cuDevicePrimaryCtxRelease_v2(ordinal);
  }

  // Throws what a call said if it failed.
  void check(const char *call, int result) {
    if (result == SUCCESS) return;
    hasFailed = true;
    const char *name = nullptr, *text = nullptr;
    cuGetErrorName(result, &name);
    cuGetErrorString(result, &text);
    throw CallError(std::string(call) + ": expected CUDA_SUCCESS, got " + (name ? name : std::to_string(result)) + " (" +
                    (text ? text : "unknown") + ")");
  }

  bool hasEvents() const {
    return cuEventCreate && cuEventRecord && cuEventElapsedTime && cuEventDestroy_v2;
  }

  bool hasGraphs() const {
    return cuGraphCreate && cuGraphAddKernelNode_v2 && cuGraphInstantiateWithFlags && cuGraphLaunch && cuGraphExecDestroy &&
           cuGraphDestroy;
  }

  // After a call has failed nothing can be given back; the error that counts is that one.
  bool hasFailed = false;

private:
  void *library = nullptr;
  int ordinal = 0;
  bool hasContext = false;

  template <class Call> void find(Call &call, const char *name) { call = reinterpret_cast<Call>(dlsym(library, name)); }

  void findCalls(const std::string &path) {
    const char *missing = nullptr;
    const auto need = [&](auto &call, const char *name) {
      find(call, name);
      if (!call && !missing) missing = name;
    };
#define NEED(name) need(name, #name)
    NEED(cuInit), NEED(cuDeviceGetCount), NEED(cuDeviceGet), NEED(cuDeviceGetName), NEED(cuDevicePrimaryCtxRetain);
    NEED(cuDevicePrimaryCtxRelease_v2), NEED(cuCtxSetCurrent), NEED(cuModuleLoadData), NEED(cuModuleUnload);
    NEED(cuModuleGetFunction), NEED(cuFuncSetAttribute), NEED(cuMemAlloc_v2), NEED(cuMemFree_v2), NEED(cuStreamCreate);
    NEED(cuStreamSynchronize), NEED(cuStreamDestroy_v2), NEED(cuMemcpyHtoDAsync_v2), NEED(cuMemcpyDtoHAsync_v2);
    NEED(cuMemsetD8Async), NEED(cuLaunchKernel), NEED(cuGetErrorName), NEED(cuGetErrorString);
#undef NEED
    if (missing) throw Error(MISSING, "driver: expected a CUDA driver in " + path + ", got a library without " + missing);
#define FIND(name) find(name, #name)
    FIND(cuDriverGetVersion), FIND(cuDeviceGetAttribute), FIND(cuEventCreate), FIND(cuEventRecord);
    FIND(cuEventElapsedTime), FIND(cuEventDestroy_v2), FIND(cuGraphCreate), FIND(cuGraphAddKernelNode_v2);
    FIND(cuGraphInstantiateWithFlags), FIND(cuGraphLaunch), FIND(cuGraphExecDestroy), FIND(cuGraphDestroy);
#undef FIND
  }

  void start() {
    int count = 0;
    const int started = cuInit(0);
    if (started != SUCCESS && started != NO_DEVICE) check("cuInit", started);
    if (started == SUCCESS) check("cuDeviceGetCount", cuDeviceGetCount(&count));
    if (count == 0) throw Error(MISSING, "device: expected a CUDA device, got none");
    check("cuDeviceGet", cuDeviceGet(&ordinal, 0));
    describe();
    Handle context;
    check("cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRetain(&context, ordinal));
    hasContext = true;
    check("cuCtxSetCurrent", cuCtxSetCurrent(context));
  }

  // "NVIDIA H100, compute capability 9.0, driver 13.0", as far as the driver tells.
  void describe() {
    char name[256] = {};
    check("cuDeviceGetName", cuDeviceGetName(name, sizeof name - 1, ordinal));
    device = name;
    isEmulated = device.rfind("emulated", 0) == 0;
    int major = 0, minor = 0, version = 0;
    if (cuDeviceGetAttribute && cuDeviceGetAttribute(&major, CAPABILITY_MAJOR, ordinal) == SUCCESS &&
        cuDeviceGetAttribute(&minor, CAPABILITY_MINOR, ordinal) == SUCCESS)
      device += ", compute capability " + std::to_string(major) + "." + std::to_string(minor);
    if (cuDriverGetVersion && cuDriverGetVersion(&version) == SUCCESS)
      device += ", driver " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }
};

} // namespace certify
