/** copy_rows, of rows in any kind of numbers: a block for each row, number by number. */
#include "shared/copy_rows.cuh"

template <typename Stored> __device__ inline void copy_numbers(Stored *to, const Stored *from, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

#define COPY_ROWS(name, Stored)                                                                                        \
  extern "C" __global__ void name(                                                                                     \
    Stored *y, const Stored *x, const int *slots, const int *rows, int, int, int I, int R                              \
  ) {                                                                                                                  \
    copy_row(y, x, slots, rows, I, R, copy_numbers<Stored>);                                                           \
  }

COPY_ROWS(copy_rows_exact, float)
COPY_ROWS(copy_rows_bf16_exact, bf16)
COPY_ROWS(copy_rows_f16_exact, f16)
COPY_ROWS(copy_rows_i8_exact, signed char)
COPY_ROWS(copy_rows_i4_exact, unsigned char)
