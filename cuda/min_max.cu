/** min_max: a block for each row. */
#include "shared/common.cuh"

/** The first i < length for which x[i] is `value`; length if there is none. A block together; all get it. */
__device__ inline int block_find(const float *x, int length, float value) {
  int found = length;
  for (int i = threadIdx.x; i < length && found == length; i += blockDim.x)
    if (x[i] == value) found = i;
  return block_reduce(found, [](int a, int b) { return a < b ? a : b; });
}

/** Of zeros of both signs the first one counts, whose sign shows in the difference. A block together; all get it. */
__device__ inline float first_like(const float *x, int length, float value) {
  const int found = block_find(x, length, value);
  return found < length ? x[found] : value;
}

extern "C" __global__ void min_max_exact(
  float *y,       // [T, D]
  const float *x, // [T, D]
  int, int D
) {
  x += (size_t)blockIdx.x * D;
  y += (size_t)blockIdx.x * D;
  float least = INFINITY;
  for (int d = threadIdx.x; d < D; d += blockDim.x)
    if (x[d] < least) least = x[d];
  least = block_reduce(least, [](float a, float b) { return a < b ? a : b; });
  least = first_like(x, D, least);
  const float most = first_like(x, D, block_largest(x, D));
  const float range = sub(most, least);
  for (int d = threadIdx.x; d < D; d += blockDim.x) y[d] = range > 0 ? divide(sub(x[d], least), range) : 0;
}
