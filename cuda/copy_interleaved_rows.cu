/** copy_interleaved_rows: a block of threads for each row, byte by byte. */
#include "shared/copy_rows.cuh"
#include "shared/int4.cuh"

/** The place of byte k of a row's twenty among those of four rows: scale, minimum, numbers. */
__device__ inline int place_of_byte(int row, int k) {
  if (k < 4) return k / 2 * 8 + row * 2 + k % 2;
  return place_of_numbers(row, k - 4);
}

extern "C" __global__ void copy_interleaved_rows_exact(
  unsigned char *y,       // [G, B, 80]
  const unsigned char *x, // [Q, B, 80]
  const int *slots,       // [R]
  const int *rows,        // [R]
  int, int, int R, int, int, int B
) {
  copy_listed(slots, rows, R, [&](int slot, int row) {
    unsigned char *to = y + (size_t)(slot / QUAD_ROWS) * B * QUAD_BYTES;
    const unsigned char *from = x + (size_t)(row / QUAD_ROWS) * B * QUAD_BYTES;
    for (size_t n = threadIdx.x; n < (size_t)B * BLOCK_BYTES; n += blockDim.x) {
      const size_t block = n / BLOCK_BYTES * QUAD_BYTES;
      const int k = n % BLOCK_BYTES;
      to[block + place_of_byte(slot % QUAD_ROWS, k)] = from[block + place_of_byte(row % QUAD_ROWS, k)];
    }
  });
}
