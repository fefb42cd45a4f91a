/** How the products over rows divide a list of chosen rows. */
#pragma once
#include "../shared/common.cuh"

namespace fast {

/**
 * Writes +0 where a row was not chosen: for `outputs` of them from `first` on, of one token. The products themselves go
 * through the list, so that blocks have as many rows as there is work for. A block together.
 */
__device__ inline void clear_others(float *y, const int *rows, long long first, int outputs, int O, int R) {
  if (rows == nullptr) return;
  for (int n = threadIdx.x; n < outputs && first + n < O; n += blockDim.x)
    if (!is_chosen(rows, R, first + n)) y[first + n] = 0;
}

} // namespace fast
