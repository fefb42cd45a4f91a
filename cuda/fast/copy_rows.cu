/**
 * copy_rows_fast, of rows in any kind of numbers: a block for each row, 16 bytes at a time where the row and its slot both
 * start at a multiple of that.
 */
#include "../shared/copy_rows.cuh"

namespace fast {

template <typename Stored> __device__ inline void copy_wide(Stored *to, const Stored *from, int count) {
  constexpr int wide = sizeof(uint4) / sizeof(Stored);
  const bool is_wide = (reinterpret_cast<size_t>(to) | reinterpret_cast<size_t>(from)) % sizeof(uint4) == 0;
  const int loads = is_wide ? count / wide : 0;
  for (int n = threadIdx.x; n < loads; n += blockDim.x)
    reinterpret_cast<uint4 *>(to)[n] = reinterpret_cast<const uint4 *>(from)[n];
  for (int i = loads * wide + threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

} // namespace fast

#define COPY_ROWS_FAST(name, Stored)                                                                                   \
  extern "C" __global__ void name(                                                                                     \
    Stored *y, const Stored *x, const int *slots, const int *rows, int, int, int I, int R                              \
  ) {                                                                                                                  \
    copy_row(y, x, slots, rows, I, R, fast::copy_wide<Stored>);                                                        \
  }

COPY_ROWS_FAST(copy_rows_fast, float)
COPY_ROWS_FAST(copy_rows_bf16_fast, bf16)
COPY_ROWS_FAST(copy_rows_f16_fast, f16)
COPY_ROWS_FAST(copy_rows_i8_fast, signed char)
COPY_ROWS_FAST(copy_rows_i4_fast, unsigned char)
