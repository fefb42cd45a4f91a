/**
 * rotary and its gradient: a thread for each pair of a head, and for each number that has no partner. It reads both
 * numbers before it writes them, for y may be x.
 */
#include "shared/common.cuh"

/** Turns a pair by the angle of its token, or the other way round where `direction` is -1. */
__device__ inline void turn(
  float *y,           // [T, H, K]
  const float *x,     // [T, H, K]
  const float *table, // [T, R]
  float direction, int T, int H, int R, int K
) {
  const int M = R / 2;
  const int parts = K - M;
  const size_t n = thread_of_grid();
  if (n >= (size_t)T * H * parts) return;
  const int i = n % parts;
  const size_t head = n / parts;
  x += head * K;
  y += head * K;
  if (i >= M) {
    y[i + M] = x[i + M];
    return;
  }
  table += head / H * R;
  const float cosine = table[i];
  const float sine = mul(direction, table[i + M]);
  const float first = x[i];
  const float second = x[i + M];
  y[i] = sub(mul(first, cosine), mul(second, sine));
  y[i + M] = add(mul(second, cosine), mul(first, sine));
}

extern "C" __global__ void rotary_exact(
  float *y,           // [T, H, K], may be x
  const float *x,     // [T, H, K]
  const float *table, // [T, R]
  int T, int H, int R, int K
) {
  turn(y, x, table, 1, T, H, R, K);
}

extern "C" __global__ void rotary_backward_exact(
  float *x_grad,       // [T, H, K], may be y_grad
  const float *y_grad, // [T, H, K]
  const float *table,  // [T, R]
  int T, int H, int R, int K
) {
  turn(x_grad, y_grad, table, -1, T, H, R, K);
}
