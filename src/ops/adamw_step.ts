/**
 * adamw_step: one step of AdamW (Loshchilov and Hutter 2019), decoupled weight decay, bias corrections passed in.
 *
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   w = w (1 - rate decay) - rate (m / correction1) / (sqrt(v / correction2) + epsilon)
 */

const { fround, sqrt } = Math

/** One AdamW step on N weights, in place. */
export function adamw_step(
  weight: Float32Array, // [N]
  mean: Float32Array, // [N], first moment
  square: Float32Array, // [N], second moment
  grad: Float32Array, // [N]
  rate: number,
  beta1: number,
  beta2: number,
  epsilon: number,
  decay: number,
  correction1: number, // 1 - beta1^step
  correction2: number, // 1 - beta2^step
  N: number,
): void {
  ;[rate, beta1, beta2, epsilon, decay] = [rate, beta1, beta2, epsilon, decay].map(fround)
  ;[correction1, correction2] = [fround(correction1), fround(correction2)]
  const keep = fround(1 - fround(rate * decay))
  const fresh1 = fround(1 - beta1)
  const fresh2 = fround(1 - beta2)
  for (let n = 0; n < N; n++) {
    mean[n] = fround(beta1 * mean[n]) + fround(fresh1 * grad[n])
    square[n] = fround(beta2 * square[n]) + fround(fresh2 * fround(grad[n] * grad[n]))
    const spread = fround(fround(sqrt(fround(square[n] / correction2))) + epsilon)
    const step = fround(fround(rate * fround(mean[n] / correction1)) / spread)
    weight[n] = fround(weight[n] * keep) - step
  }
}
