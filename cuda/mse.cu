/** mse: one block. mse_backward: a thread for each number. */
#include "shared/common.cuh"

extern "C" __global__ void mse_exact(float *loss, const float *prediction, const float *target, int N) {
  const float sum = block_sum(
    [&](int n) {
      const float error = sub(prediction[n], target[n]);
      return mul(error, error);
    },
    N
  );
  if (threadIdx.x == 0) *loss = divide(sum, __int2float_rn(N));
}

extern "C" __global__ void mse_backward_exact(
  float *prediction_grad, const float *loss_grad, const float *prediction, const float *target, int N
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)N) return;
  const float factor = divide(mul(2, *loss_grad), __int2float_rn(N));
  prediction_grad[n] = mul(factor, sub(prediction[n], target[n]));
}
