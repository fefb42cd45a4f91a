/** silu_gate and its gradients: a thread for each number. */
#include "common.cuh"

/** 1 + e^-z */
__device__ inline float denominator(float z) { return add(1, exp32(-z)); }

extern "C" __global__ void silu_gate_exact(float *y, const float *gate, const float *up, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = mul(divide(gate[n], denominator(gate[n])), up[n]);
}

extern "C" __global__ void silu_gate_backward_exact(
  float *gate_grad,    // [N]
  float *up_grad,      // [N]
  const float *y_grad, // [N]
  const float *gate,   // [N]
  const float *up,     // [N]
  int N
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)N) return;
  const float z = gate[n];
  const float d = denominator(z);
  const float s = divide(1, d);
  const float slope = mul(s, add(1, mul(z, sub(1, s))));
  gate_grad[n] = mul(mul(y_grad[n], up[n]), slope);
  up_grad[n] = mul(y_grad[n], divide(z, d));
}
