/**
 * copy_rows, of rows in any kind of numbers: a block for each row. Where several rows have one slot the last one takes
 * it, as if they had been copied in order: a block leaves its row alone if a later one has the same slot.
 */
#include "storage.cuh"

template <typename Stored>
__device__ void copy_row(
  Stored *y,        // [S, I]
  const Stored *x,  // [O, I]
  const int *slots, // [R], or null: 0, 1, 2, ...
  const int *rows,  // [R]
  int I, int R
) {
  const int r = blockIdx.x;
  const int slot = slots ? slots[r] : r;
  int later = 0;
  if (slots)
    for (int i = r + 1 + threadIdx.x; i < R; i += blockDim.x) later += slots[i] == slot;
  if (block_total(later) > 0) return;
  for (int i = threadIdx.x; i < I; i += blockDim.x) y[(size_t)slot * I + i] = x[(size_t)rows[r] * I + i];
}

#define COPY_ROWS(name, Stored)                                                                                        \
  extern "C" __global__ void name(                                                                                     \
    Stored *y, const Stored *x, const int *slots, const int *rows, int, int, int I, int R                              \
  ) {                                                                                                                  \
    copy_row(y, x, slots, rows, I, R);                                                                                 \
  }

COPY_ROWS(copy_rows_exact, float)
COPY_ROWS(copy_rows_bf16_exact, bf16)
COPY_ROWS(copy_rows_f16_exact, f16)
COPY_ROWS(copy_rows_i8_exact, signed char)
