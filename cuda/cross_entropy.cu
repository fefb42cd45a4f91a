/** cross_entropy and its gradient: a block for each row. */
#include "shared/rows.cuh"

/** The label of a position that is not scored. */
constexpr int NOT_SCORED = -100;

extern "C" __global__ void cross_entropy_exact(
  float *nll,          // [T]
  const float *logits, // [T, V]
  const int *labels,   // [T]
  int, int V
) {
  const int label = labels[blockIdx.x];
  if (label == NOT_SCORED) {
    if (threadIdx.x == 0) nll[blockIdx.x] = 0;
    return;
  }
  logits += (size_t)blockIdx.x * V;
  const float most = block_largest(logits, V);
  const float total = block_sum([&](int v) { return exp32(sub(logits[v], most)); }, V);
  if (threadIdx.x == 0) nll[blockIdx.x] = sub(log32(total), sub(logits[label], most));
}

extern "C" __global__ void cross_entropy_backward_exact(
  float *logits_grad,    // [T, V]
  const float *nll_grad, // [T]
  const float *logits,   // [T, V]
  const int *labels,     // [T]
  int, int V
) {
  const int label = labels[blockIdx.x];
  logits += (size_t)blockIdx.x * V;
  logits_grad += (size_t)blockIdx.x * V;
  if (label == NOT_SCORED) {
    for (int v = threadIdx.x; v < V; v += blockDim.x) logits_grad[v] = 0;
    return;
  }
  const float total = exponentials(logits_grad, logits, V);
  for (int v = threadIdx.x; v < V; v += blockDim.x) {
    const float probability = divide(logits_grad[v], total);
    logits_grad[v] = mul(nll_grad[blockIdx.x], v == label ? sub(probability, 1) : probability);
  }
}
