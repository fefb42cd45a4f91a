/**
 * CUDA programs whose kernels have no barriers, as C++ that runs one thread after another.
 */

/**
 * What the CUDA form needs to be compiled by g++: its kernels have no barriers, so that one thread may run after another.
 * It shows that indices and sums are right; that a GPU runs it, only a GPU can show.
 */
export const threadByThread = `#pragma once
#include <cmath>
#include <cstdlib>
#include <cstring>
#define __global__
#define __device__
struct Place { unsigned x; };
static Place blockIdx, threadIdx, blockDim;
enum cudaError_t { cudaSuccess };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
inline const char *cudaGetErrorString(cudaError_t) { return ""; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
template <class T> cudaError_t cudaMalloc(T **place, size_t bytes) {
  *place = static_cast<T *>(std::malloc(bytes));
  return cudaSuccess;
}
inline void cudaFree(void *place) { std::free(place); }
inline cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp2(x * 1.44269504f); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
template <class Kernel, class... Arguments>
void launch(unsigned blocks, unsigned threads, Kernel kernel, Arguments... arguments) {
  blockDim.x = threads;
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
    for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) kernel(arguments...);
}
`

/** The launches `kernel<<<blocks, THREADS>>>(` of a program as calls of `launch`. */
export function launchedByThread(program: string): string {
  return program.replace(/(\w+)<<<(.+?), THREADS>>>\(/g, 'launch($2, THREADS, $1, ')
}
