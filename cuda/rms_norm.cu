/**
 * rms_norm: a block for each row.
 *
 * rms_norm_backward: a block for each row of x_grad, then blocks for the weight's gradient, in which each thread has a
 * column and goes through the tokens in order. These work out the scales again, of as many rows at a time as a block has
 * groups.
 */
#include "shared/common.cuh"

/** 1 over the root mean square of a row, its sum by group_sum or block_sum. Whoever that takes together; all get it. */
template <typename Sum> __device__ float rms_scale(const float *x, float epsilon, int D, Sum sum) {
  const float square = divide(sum([&](int d) { return mul(x[d], x[d]); }, D), __int2float_rn(D));
  return divide(1, __fsqrt_rn(add(square, epsilon)));
}

__device__ inline float block_rms_scale(const float *x, float epsilon, int D) {
  return rms_scale(x, epsilon, D, [](auto term, int length) { return block_sum(term, length); });
}

extern "C" __global__ void rms_norm_exact(
  float *y,            // [T, D]
  const float *x,      // [T, D]
  const float *weight, // [D]
  float epsilon, int, int D
) {
  x += (size_t)blockIdx.x * D;
  y += (size_t)blockIdx.x * D;
  const float scale = block_rms_scale(x, epsilon, D);
  for (int d = threadIdx.x; d < D; d += blockDim.x) y[d] = mul(mul(x[d], scale), weight[d]);
}

__device__ inline void rms_x_gradient(
  float *x_grad,       // [D]
  const float *y_grad, // [D]
  const float *x,      // [D]
  const float *weight, // [D]
  float epsilon, int D
) {
  const float scale = block_rms_scale(x, epsilon, D);
  const auto normal = [&](int d) { return mul(x[d], scale); };
  const auto g = [&](int d) { return mul(y_grad[d], weight[d]); };
  const float mean = divide(block_sum([&](int d) { return mul(g(d), normal(d)); }, D), __int2float_rn(D));
  for (int d = threadIdx.x; d < D; d += blockDim.x) x_grad[d] = mul(scale, sub(g(d), mul(normal(d), mean)));
}

extern "C" __global__ void rms_norm_backward_exact(
  float *x_grad,       // [T, D]
  float *weight_grad,  // [D], or null
  const float *y_grad, // [T, D]
  const float *x,      // [T, D]
  const float *weight, // [D]
  float epsilon, int T, int D
) {
  __shared__ float scales[MOST_THREADS / LANES];
  if ((int)blockIdx.x < T) {
    const size_t row = (size_t)blockIdx.x * D;
    rms_x_gradient(x_grad + row, y_grad + row, x + row, weight, epsilon, D);
    return;
  }
  if (weight_grad == nullptr) return;
  const int d = (blockIdx.x - T) * blockDim.x + threadIdx.x;
  const int groups = groups_of_block();
  float sum = d < D ? weight_grad[d] : 0;
  for (int first = 0; first < T; first += groups) {
    const int t = first + group_of_block();
    if (t < T) {
      const float scale = rms_scale(x + (size_t)t * D, epsilon, D, [](auto term, int length) {
        return group_sum(term, length);
      });
      if (lane_of_group() == 0) scales[group_of_block()] = scale;
    }
    __syncthreads();
    if (d < D)
      for (int i = 0; i < groups && first + i < T; i++) {
        const size_t n = (size_t)(first + i) * D + d;
        sum = add(sum, mul(y_grad[n], mul(x[n], scales[i])));
      }
    __syncthreads();
  }
  if (d < D) weight_grad[d] = sum;
}
