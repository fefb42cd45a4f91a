/**
 * cuBLAS as a baseline: a product in half precision with float32 sums, by NVIDIA's own library where it is installed.
 *
 * It is found while the program runs, and where it is missing that is said. Matrices are column-major there, so a matrix
 * stored a row per output is handed over as its transpose.
 */

#pragma once

#include "errors.hpp"

#include <cstdint>
#include <cstdlib>
#include <dlfcn.h>
#include <string>
#include <vector>

namespace certify {

class Cublas {
public:
  // Loads the library at `path`, or where systems have it.
  explicit Cublas(const std::string &path) {
    const std::vector<std::string> usual = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so"};
    for (const std::string &name : path.empty() ? usual : std::vector<std::string>{path}) {
      void *const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (!library) continue;
      find(create, library, "cublasCreate_v2"), find(destroy, library, "cublasDestroy_v2"), find(gemm, library, "cublasGemmEx");
      find(setStream, library, "cublasSetStream_v2");
      if (create && destroy && gemm && setStream && create(&handle) == SUCCEEDED) return;
      handle = nullptr;
    }
  }

  Cublas(const Cublas &) = delete;
  Cublas &operator=(const Cublas &) = delete;

  ~Cublas() {
    if (handle) destroy(handle);
  }

  bool isHere() const { return handle != nullptr; }

  // Products are computed in the order of this stream.
  void useStream(void *stream) {
    const int status = setStream(handle, stream);
    if (status != SUCCEEDED) throw CallError("cublasSetStream_v2: expected CUBLAS_STATUS_SUCCESS, got " + std::to_string(status));
  }

  // y [O] = W x [I], W stored [O, I] by rows or [I, O] by columns.
  void multiply(bool byRows, uint64_t y, uint64_t x, uint64_t weight, size_t O, size_t I) {
    const float one = 1, zero = 0;
    const int o = static_cast<int>(O), i = static_cast<int>(I);
    const int status = gemm(handle, byRows ? TRANSPOSED : AS_STORED, AS_STORED, o, 1, i, &one, weight, HALF, byRows ? i : o, x, HALF,
                            i, &zero, y, HALF, o, SUMS_IN_FLOAT, ANY_ALGORITHM);
    if (status != SUCCEEDED) throw CallError("cublasGemmEx: expected CUBLAS_STATUS_SUCCESS, got " + std::to_string(status));
  }

private:
  // What cublas_api.h and library_types.h define these as.
  static constexpr int SUCCEEDED = 0, AS_STORED = 0, TRANSPOSED = 1, HALF = 2, SUMS_IN_FLOAT = 68, ANY_ALGORITHM = -1;

  void *handle = nullptr;
  int (*create)(void **) = nullptr;
  int (*destroy)(void *) = nullptr;
  int (*setStream)(void *, void *) = nullptr;
  int (*gemm)(void *, int, int, int, int, int, const void *, uint64_t, int, int, uint64_t, int, int, const void *, uint64_t, int, int,
              int, int) = nullptr;

  template <class Call> static void find(Call &call, void *library, const char *name) {
    call = reinterpret_cast<Call>(dlsym(library, name));
  }
};

} // namespace certify
