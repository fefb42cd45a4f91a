/** relu, silu_gate, relu_gate and gelu_tanh_gate with their gradients: a thread for each number. */
#include "shared/common.cuh"

extern "C" __global__ void relu_exact(float *y, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = x[n] > 0 ? x[n] : 0;
}

extern "C" __global__ void relu_backward_exact(float *x_grad, const float *y_grad, const float *x, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) x_grad[n] = x[n] > 0 ? y_grad[n] : 0;
}

extern "C" __global__ void relu_gate_exact(float *y, const float *gate, const float *up, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = gate[n] > 0 ? mul(gate[n], up[n]) : 0;
}

extern "C" __global__ void relu_gate_backward_exact(
  float *gate_grad,    // [N]
  float *up_grad,      // [N]
  const float *y_grad, // [N]
  const float *gate,   // [N]
  const float *up,     // [N]
  int N
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)N) return;
  const bool is_open = gate[n] > 0;
  gate_grad[n] = is_open ? mul(y_grad[n], up[n]) : 0;
  up_grad[n] = is_open ? mul(y_grad[n], gate[n]) : 0;
}

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

/** 2 sqrt(2 / pi), 0.044715, and three times that. */
#define GELU_SLOPE 1.5957691216057308f
#define GELU_CUBE 0.044715f
#define GELU_CUBE_SLOPE 0.134145f

/** 1 + e^-2u, 2u = (a z) (1 + b z^2) */
__device__ inline float gelu_denominator(float z) {
  return denominator(mul(mul(GELU_SLOPE, z), add(1, mul(GELU_CUBE, mul(z, z)))));
}

extern "C" __global__ void gelu_tanh_gate_exact(float *y, const float *gate, const float *up, int N) {
  const size_t n = thread_of_grid();
  if (n < (size_t)N) y[n] = mul(divide(gate[n], gelu_denominator(gate[n])), up[n]);
}

extern "C" __global__ void gelu_tanh_gate_backward_exact(
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
  const float d = gelu_denominator(z);
  const float s = divide(1, d);
  const float inner = mul(GELU_SLOPE, add(1, mul(GELU_CUBE_SLOPE, mul(z, z))));
  const float slope = mul(s, add(1, mul(mul(z, sub(1, s)), inner)));
  gate_grad[n] = mul(mul(y_grad[n], up[n]), slope);
  up_grad[n] = mul(y_grad[n], divide(z, d));
}
