/**
 * soft_cap: numbers brought below a cap in size (Gemma 2, arXiv 2408.00118), y = cap tanh(x / cap). A cap of 0 or less is none. Attention
 * caps its scores likewise (attention.ts).
 *
 * Backward: x_grad = y_grad (1 - u^2), u = tanh(x / cap).
 */
import { tanh } from './float32.ts'

const { fround } = Math

/** y = cap tanh(x / cap). */
export function soft_cap(y: Float32Array, x: Float32Array, cap: number, N: number): void {
  const limit = fround(cap)
  for (let n = 0; n < N; n++) y[n] = limit > 0 ? limit * tanh(fround(x[n] / limit)) : x[n]
}

/** Gradient of soft_cap. */
export function soft_cap_backward(
  x_grad: Float32Array, // [N]
  y_grad: Float32Array, // [N]
  x: Float32Array, // [N]
  cap: number,
  N: number,
): void {
  const limit = fround(cap)
  for (let n = 0; n < N; n++) {
    const u = limit > 0 ? tanh(fround(x[n] / limit)) : 0
    x_grad[n] = y_grad[n] * fround(1 - fround(u * u))
  }
}
