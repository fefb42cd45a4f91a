/** adamw_step: a thread for each weight. */
#include "shared/common.cuh"

extern "C" __global__ void adamw_step_exact(
  float *weight, float *mean, float *square, const float *grad, float rate, float beta1, float beta2, float epsilon,
  float decay, float correction1, float correction2, int N
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)N) return;
  const float g = grad[n];
  const float m = add(mul(beta1, mean[n]), mul(sub(1, beta1), g));
  const float v = add(mul(beta2, square[n]), mul(sub(1, beta2), mul(g, g)));
  mean[n] = m;
  square[n] = v;
  const float spread = add(__fsqrt_rn(divide(v, correction2)), epsilon);
  const float step = divide(mul(rate, divide(m, correction1)), spread);
  weight[n] = sub(mul(weight[n], sub(1, mul(rate, decay))), step);
}
