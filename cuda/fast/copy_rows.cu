/**
 * copy_rows_fast, of rows in any kind of numbers: as copy_rows_exact, but 16 bytes at a time where both rows start at a
 * multiple of that.
 */
#include "../storage.cuh"

namespace fast {

/** Copies `count` numbers. A block together. */
template <typename Stored> __device__ inline void copy(Stored *to, const Stored *from, int count) {
  constexpr int wide = sizeof(uint4) / sizeof(Stored);
  const bool is_wide = (reinterpret_cast<size_t>(to) | reinterpret_cast<size_t>(from)) % sizeof(uint4) == 0;
  const int loads = is_wide ? count / wide : 0;
  for (int n = threadIdx.x; n < loads; n += blockDim.x)
    reinterpret_cast<uint4 *>(to)[n] = reinterpret_cast<const uint4 *>(from)[n];
  for (int i = loads * wide + threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

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
  // Where several rows have one slot the last one takes it.
  if (block_total(later) > 0) return;
  copy(y + (size_t)slot * I, x + (size_t)rows[r] * I, I);
}

} // namespace fast

#define COPY_ROWS_FAST(name, Stored)                                                                                   \
  extern "C" __global__ void name(                                                                                     \
    Stored *y, const Stored *x, const int *slots, const int *rows, int, int, int I, int R                              \
  ) {                                                                                                                  \
    fast::copy_row(y, x, slots, rows, I, R);                                                                           \
  }

COPY_ROWS_FAST(copy_rows_fast, float)
COPY_ROWS_FAST(copy_rows_bf16_fast, bf16)
COPY_ROWS_FAST(copy_rows_f16_fast, f16)
COPY_ROWS_FAST(copy_rows_i8_fast, signed char)
