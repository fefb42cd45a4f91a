/** softmax and its gradient: a block for each row. */
#include "shared/rows.cuh"

extern "C" __global__ void softmax_exact(
  float *y,       // [T, V]
  const float *x, // [T, V]
  int, int V
) {
  x += (size_t)blockIdx.x * V;
  y += (size_t)blockIdx.x * V;
  const float total = exponentials(y, x, V);
  for (int v = threadIdx.x; v < V; v += blockDim.x) y[v] = divide(y[v], total);
}

extern "C" __global__ void softmax_backward_exact(
  float *x_grad,       // [T, V]
  const float *y_grad, // [T, V]
  const float *y,      // [T, V]
  int, int V
) {
  const size_t row = (size_t)blockIdx.x * V;
  x_grad += row;
  y_grad += row;
  y += row;
  const float mean = block_sum([&](int v) { return mul(y_grad[v], y[v]); }, V);
  for (int v = threadIdx.x; v < V; v += blockDim.x) x_grad[v] = mul(y[v], sub(y_grad[v], mean));
}
