/**
 * embedding, from tables in float32, bf16, f16 and int8: a thread for each number.
 *
 * embedding_backward: a thread for each column, which goes through the tokens in order, for two tokens may have one row.
 */
#include "shared/storage.cuh"

template <typename Stored>
__device__ void embedding_of_rows(
  float *y,            // [T, D]
  const Stored *table, // [V, D]
  const int *ids,      // [T]
  int T, int D
) {
  const size_t n = thread_of_grid();
  if (n < (size_t)T * D) y[n] = widen(table[(size_t)ids[n / D] * D + n % D]);
}

extern "C" __global__ void embedding_exact(float *y, const float *table, const int *ids, int T, int, int D) {
  embedding_of_rows(y, table, ids, T, D);
}

extern "C" __global__ void embedding_bf16_exact(float *y, const bf16 *table, const int *ids, int T, int, int D) {
  embedding_of_rows(y, table, ids, T, D);
}

extern "C" __global__ void embedding_f16_exact(float *y, const f16 *table, const int *ids, int T, int, int D) {
  embedding_of_rows(y, table, ids, T, D);
}

extern "C" __global__ void embedding_i8_exact(
  float *y,                 // [T, D]
  const signed char *table, // [V, D]
  const float *scales,      // [V]
  const int *ids,           // [T]
  int T, int, int D
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)T * D) return;
  const size_t row = ids[n / D];
  y[n] = mul(scales[row], __int2float_rn(table[row * D + n % D]));
}

extern "C" __global__ void embedding_backward_exact(
  float *table_grad,   // [V, D]
  const float *y_grad, // [T, D]
  const int *ids,      // [T]
  int T, int, int D
) {
  const size_t d = thread_of_grid();
  if (d >= (size_t)D) return;
  for (size_t t = 0; t < (size_t)T; t++) {
    float *sum = table_grad + (size_t)ids[t] * D + d;
    *sum = add(*sum, y_grad[t * D + d]);
  }
}
