/**
 * mse: the loss ShadowLLM's released code trains a predictor with.
 *
 *   loss = sum((prediction - target)^2) / N, striped;   prediction_grad = loss_grad * 2 (prediction - target) / N
 *
 * N is rounded to float32 before it divides.
 */
import { sum } from './float32.ts'

const { fround } = Math

/** Mean squared error over all N numbers. */
export function mse(
  loss: Float32Array, // [1]
  prediction: Float32Array, // [N]
  target: Float32Array, // [N]
  N: number,
): void {
  const squares = new Float32Array(N)
  for (let n = 0; n < N; n++) {
    const error = fround(prediction[n] - target[n])
    squares[n] = error * error
  }
  loss[0] = sum(squares, 0, N) / fround(N)
}

/** Gradient of mse with respect to the prediction. */
export function mse_backward(
  prediction_grad: Float32Array, // [N]
  loss_grad: Float32Array, // [1]
  prediction: Float32Array, // [N]
  target: Float32Array, // [N]
  N: number,
): void {
  const factor = fround(fround(2 * loss_grad[0]) / fround(N))
  for (let n = 0; n < N; n++) prediction_grad[n] = factor * fround(prediction[n] - target[n])
}
