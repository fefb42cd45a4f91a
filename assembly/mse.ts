/**
 * mse: loss = sum((prediction - target)^2) / N, striped.
 * mse_backward: prediction_grad = loss_grad * 2 (prediction - target) / N.
 */
import { bytes, sumSquaredDifferences, wholeQuads } from './float32'

export function mse(
  loss: usize, // [1]
  prediction: usize, // [N]
  target: usize, // [N]
  N: i32,
): void {
  store<f32>(loss, sumSquaredDifferences(prediction, target, N) / <f32>N)
}

export function mse_backward(
  prediction_grad: usize, // [N]
  loss_grad: usize, // [1]
  prediction: usize, // [N]
  target: usize, // [N]
  N: i32,
): void {
  const factor = (load<f32>(loss_grad) * 2) / <f32>N
  const factors = f32x4.splat(factor)
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16)
    v128.store(
      prediction_grad + n,
      f32x4.mul(factors, f32x4.sub(v128.load(prediction + n), v128.load(target + n))),
    )
  for (; n < end; n += 4)
    store<f32>(prediction_grad + n, factor * (load<f32>(prediction + n) - load<f32>(target + n)))
}
