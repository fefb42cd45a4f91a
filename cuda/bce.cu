/** bce: one block. bce_backward: a thread for each number. */
#include "shared/common.cuh"

/** How much a target counts. */
__device__ inline float weigh(float target, float floor) { return add(mul(target, sub(1, floor)), floor); }

extern "C" __global__ void bce_exact(
  float *loss, const float *logits, const float *target, float negative_weight, int N
) {
  const float sum = block_sum(
    [&](int n) {
      const float logit = logits[n];
      const float linear = sub(logit > 0 ? logit : 0, mul(logit, target[n]));
      const float cost = add(linear, log32(add(1, exp32(-fabsf(logit)))));
      return mul(weigh(target[n], negative_weight), cost);
    },
    N
  );
  if (threadIdx.x == 0) *loss = divide(sum, __int2float_rn(N));
}

extern "C" __global__ void bce_backward_exact(
  float *logits_grad, const float *loss_grad, const float *logits, const float *target, float negative_weight, int N
) {
  const size_t n = thread_of_grid();
  if (n >= (size_t)N) return;
  const float factor = divide(*loss_grad, __int2float_rn(N));
  const float small = exp32(-fabsf(logits[n]));
  const float probability = divide(logits[n] > 0 ? 1 : small, add(1, small));
  logits_grad[n] = mul(factor, mul(weigh(target[n], negative_weight), sub(probability, target[n])));
}
