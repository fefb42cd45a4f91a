/** transpose, of numbers in any kind: a thread for each number, in the order it is read. */
#include "shared/storage.cuh"

template <typename Stored>
__device__ void transpose(
  Stored *y,       // [I, O]
  const Stored *x, // [O, I]
  int O, int I
) {
  const size_t n = thread_of_grid();
  if (n < (size_t)O * I) y[n % I * O + n / I] = x[n];
}

extern "C" __global__ void transpose_exact(float *y, const float *x, int O, int I) { transpose(y, x, O, I); }

extern "C" __global__ void transpose_bf16_exact(bf16 *y, const bf16 *x, int O, int I) { transpose(y, x, O, I); }

extern "C" __global__ void transpose_f16_exact(f16 *y, const f16 *x, int O, int I) { transpose(y, x, O, I); }
