/** narrow_bf16, narrow_f16: a thread for each number. */
#include "shared/storage.cuh"

extern "C" __global__ void narrow_bf16_exact(bf16 *y, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = narrow_to_bf16(x[n]);
}

extern "C" __global__ void narrow_f16_exact(f16 *y, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = narrow_to_f16(x[n]);
}
