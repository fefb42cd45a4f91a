/**
 * What all copies of listed rows share. Where several rows have one slot the last one takes it, as if they had been copied in
 * order: a block leaves its row alone if a later one has the same slot.
 */
#pragma once
#include "storage.cuh"

/** Calls copy(slot, row) for row `blockIdx.x` of the list, unless a later one has its slot. A block together. */
template <typename Copy>
__device__ void copy_listed(
  const int *slots, // [R], or null: 0, 1, 2, ...
  const int *rows,  // [R]
  int R, Copy copy
) {
  const int r = blockIdx.x;
  const int slot = slots ? slots[r] : r;
  int later = 0;
  if (slots)
    for (int i = r + 1 + threadIdx.x; i < R; i += blockDim.x) later += slots[i] == slot;
  if (block_total(later) > 0) return;
  copy(slot, rows[r]);
}

/** The same for rows of I numbers, by copy(to, from, I). A block together. */
template <typename Stored, typename Copy>
__device__ void copy_row(
  Stored *y,        // [S, I]
  const Stored *x,  // [O, I]
  const int *slots, // [R], or null
  const int *rows,  // [R]
  int I, int R, Copy copy
) {
  copy_listed(slots, rows, R, [&](int slot, int row) { copy(y + (size_t)slot * I, x + (size_t)row * I, I); });
}
