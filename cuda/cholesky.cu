/** cholesky: one block, which finishes the rows of R one after the other. solve_cholesky: a thread for each column of X. */
#include "shared/common.cuh"

extern "C" __global__ void cholesky_exact(
  float *factor,  // [U, U], may be a
  const float *a, // [U, U]
  int U
) {
  const int thread = threadIdx.x;
  const int threads = blockDim.x;
  for (size_t n = thread; n < (size_t)U * U; n += threads) factor[n] = n % U < n / U ? 0 : a[n];
  __syncthreads();
  for (int k = 0; k < U; k++) {
    float *row = factor + (size_t)k * U;
    const float square = row[k];
    const float pivot = square > 0 ? __fsqrt_rn(square) : 0;
    __syncthreads();
    for (int j = k + thread; j < U; j += threads) row[j] = j == k ? pivot : pivot > 0 ? divide(row[j], pivot) : 0;
    __syncthreads();
    // What is left of the matrix loses the term of this row.
    for (int i = k + 1; i < U; i++) {
      float *rest = factor + (size_t)i * U;
      const float by = row[i];
      for (int j = i + thread; j < U; j += threads) rest[j] = sub(rest[j], mul(by, row[j]));
    }
    __syncthreads();
  }
}

extern "C" __global__ void solve_cholesky_exact(
  float *x,            // [U, D], may be b
  const float *b,      // [U, D]
  const float *factor, // [U, U]
  int U, int D
) {
  const size_t m = thread_of_grid();
  if (m >= (size_t)D) return;
  const auto divided = [&](float sum, int k) {
    const float pivot = factor[(size_t)k * U + k];
    return pivot > 0 ? -divide(sum, pivot) : 0.0f;
  };
  for (int k = 0; k < U; k++) {
    float sum = b[(size_t)k * D + m];
    for (int i = 0; i < k; i++) sum = add(sum, mul(factor[(size_t)i * U + k], x[(size_t)i * D + m]));
    x[(size_t)k * D + m] = divided(sum, k);
  }
  for (int k = U - 1; k >= 0; k--) {
    float sum = x[(size_t)k * D + m];
    for (int i = U - 1; i > k; i--) sum = add(sum, mul(factor[(size_t)k * U + i], x[(size_t)i * D + m]));
    x[(size_t)k * D + m] = divided(sum, k);
  }
}
