/**
 * rms_norm_fast: a block for each row, which it reads four numbers at a time. The squares of a thread are fused with their
 * sum; the sums of its threads are added by a tree over each warp, then warp by warp.
 */
#include "vector.cuh"

extern "C" __global__ void rms_norm_fast(
  float *y,            // [T, D]
  const float *x,      // [T, D]
  const float *weight, // [D]
  float epsilon, int, int D
) {
  using namespace fast;
  x += (size_t)blockIdx.x * D;
  y += (size_t)blockIdx.x * D;
  const bool wide = is_wide(x, D);
  float squares = 0;
  each_of_row(x, wide, D, [&](int, float value) { squares = multiply_add(value, value, squares); });
  const float square = divide(fast::block_sum(squares), __int2float_rn(D));
  const float scale = divide(1, __fsqrt_rn(add(square, epsilon)));
  const auto one = [&](float x, float weight) { return mul(mul(x, scale), weight); };
  const bool all_wide = wide && is_wide(y, D) && is_wide(weight, D);
  for (int d = threadIdx.x * WIDE; d < D; d += blockDim.x * WIDE) {
    const auto load = [&](const float *from) { return all_wide ? load_wide(from + d) : load_part(from + d, D - d); };
    const float4 four = load(x);
    const float4 weights = load(weight);
    store_four(
      y + d, all_wide, D - d,
      {one(four.x, weights.x), one(four.y, weights.y), one(four.z, weights.z), one(four.w, weights.w)}
    );
  }
}
