/**
 * layer_norm: a block for each row.
 *
 * layer_norm_backward: a block for each row of x_grad, then blocks for the parameters' gradients, in which each thread
 * has a column and goes through the tokens in order. These work out the moments again, of as many rows at a time as a
 * block has groups.
 */
#include "shared/rows.cuh"

__device__ inline Moments block_moments(const float *x, float epsilon, int D) {
  return moments(x, epsilon, D, [](auto term, int length) { return block_sum(term, length); });
}

extern "C" __global__ void layer_norm_exact(
  float *y,            // [T, D]
  const float *x,      // [T, D]
  const float *weight, // [D]
  const float *bias,   // [D]
  float epsilon, int, int D
) {
  x += (size_t)blockIdx.x * D;
  y += (size_t)blockIdx.x * D;
  const Moments row = block_moments(x, epsilon, D);
  for (int d = threadIdx.x; d < D; d += blockDim.x)
    y[d] = add(mul(mul(sub(x[d], row.mean), row.scale), weight[d]), bias[d]);
}

__device__ inline void x_gradient(
  float *x_grad,       // [D]
  const float *y_grad, // [D]
  const float *x,      // [D]
  const float *weight, // [D]
  float epsilon, int D
) {
  const Moments row = block_moments(x, epsilon, D);
  const float width = __int2float_rn(D);
  const auto normal = [&](int d) { return mul(sub(x[d], row.mean), row.scale); };
  const auto g = [&](int d) { return mul(y_grad[d], weight[d]); };
  const float g_mean = divide(block_sum(g, D), width);
  const float gn_mean = divide(block_sum([&](int d) { return mul(g(d), normal(d)); }, D), width);
  for (int d = threadIdx.x; d < D; d += blockDim.x)
    x_grad[d] = mul(row.scale, sub(sub(g(d), g_mean), mul(normal(d), gn_mean)));
}

extern "C" __global__ void layer_norm_backward_exact(
  float *x_grad,       // [T, D]
  float *weight_grad,  // [D], or null
  float *bias_grad,    // [D], or null
  const float *y_grad, // [T, D]
  const float *x,      // [T, D]
  const float *weight, // [D]
  float epsilon, int T, int D
) {
  __shared__ Moments rows[MOST_THREADS / LANES];
  if ((int)blockIdx.x < T) {
    const size_t row = (size_t)blockIdx.x * D;
    x_gradient(x_grad + row, y_grad + row, x + row, weight, epsilon, D);
    return;
  }
  const int d = (blockIdx.x - T) * blockDim.x + threadIdx.x;
  const int groups = groups_of_block();
  float weight_sum = weight_grad && d < D ? weight_grad[d] : 0;
  float bias_sum = bias_grad && d < D ? bias_grad[d] : 0;
  for (int first = 0; first < T; first += groups) {
    const int t = first + group_of_block();
    if (t < T) {
      const Moments row = moments(x + (size_t)t * D, epsilon, D, [](auto term, int length) {
        return group_sum(term, length);
      });
      if (lane_of_group() == 0) rows[group_of_block()] = row;
    }
    __syncthreads();
    if (d < D)
      for (int i = 0; i < groups && first + i < T; i++) {
        const size_t n = (size_t)(first + i) * D + d;
        weight_sum = add(weight_sum, mul(y_grad[n], mul(sub(x[n], rows[i].mean), rows[i].scale)));
        bias_sum = add(bias_sum, y_grad[n]);
      }
    __syncthreads();
  }
  if (weight_grad && d < D) weight_grad[d] = weight_sum;
  if (bias_grad && d < D) bias_grad[d] = bias_sum;
}
