/**
 * layer_norm_fast: a block for each row, which it reads four numbers at a time. The sums of its threads are added by a tree
 * over each warp, then warp by warp; squares and the last product are fused with what they are added to.
 */
#include "vector.cuh"

namespace fast {

/** y = (x - mean) * scale * weight + bias, of up to four neighbours. */
__device__ inline float4 normalise(float4 x, float4 weight, float4 bias, float mean, float scale) {
  const auto one = [&](float x, float weight, float bias) {
    return multiply_add(mul(sub(x, mean), scale), weight, bias);
  };
  return {
    one(x.x, weight.x, bias.x), one(x.y, weight.y, bias.y), one(x.z, weight.z, bias.z), one(x.w, weight.w, bias.w)
  };
}

} // namespace fast

extern "C" __global__ void layer_norm_fast(
  float *y,            // [T, D]
  const float *x,      // [T, D]
  const float *weight, // [D]
  const float *bias,   // [D]
  float epsilon, int, int D
) {
  using namespace fast;
  x += (size_t)blockIdx.x * D;
  y += (size_t)blockIdx.x * D;
  const float width = __int2float_rn(D);
  const bool wide = is_wide(x, D);
  float sum = 0;
  each_of_row(x, wide, D, [&](int, float value) { sum = add(sum, value); });
  const float mean = divide(fast::block_sum(sum), width);
  float squares = 0;
  each_of_row(x, wide, D, [&](int, float value) {
    const float deviation = sub(value, mean);
    squares = multiply_add(deviation, deviation, squares);
  });
  const float variance = divide(fast::block_sum(squares), width);
  const float scale = divide(1, __fsqrt_rn(add(variance, epsilon)));
  const bool all_wide = wide && is_wide(y, D) && is_wide(weight, D) && is_wide(bias, D);
  for (int d = threadIdx.x * WIDE; d < D; d += blockDim.x * WIDE) {
    const auto load = [&](const float *from) { return all_wide ? load_wide(from + d) : load_part(from + d, D - d); };
    store_four(y + d, all_wide, D - d, normalise(load(x), load(weight), load(bias), mean, scale));
  }
}
