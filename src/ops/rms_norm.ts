/**
 * rms_norm: normalisation by the root mean square over the width, as in every Llama (Zhang and Sennrich 2019,
 * arXiv 1910.07467). Unlike layer_norm it subtracts no mean and adds no bias.
 *
 *   scale = 1 / sqrt(sum(x^2) / D + epsilon);  y = x * scale * weight
 *
 * The sum is striped; D is rounded to float32 before it divides.
 *
 * Backward, with n = x * scale and g = y_grad * weight:
 *   x_grad = scale * (g - n * mean(g n));  weight_grad += y_grad n, sequential in t
 */
import { dot } from './float32.ts'

const { fround, sqrt } = Math

/** 1 over the root mean square of a row. */
export function scaleOf(x: Float32Array, start: number, D: number, epsilon: number): number {
  const square = fround(dot(x, start, x, start, D) / fround(D))
  return fround(1 / fround(sqrt(fround(square + epsilon))))
}

/** Normalises each row, then scales it. */
export function rms_norm(
  y: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) {
    const scale = scaleOf(x, t * D, D, fround(epsilon))
    for (let d = 0; d < D; d++) y[t * D + d] = fround(x[t * D + d] * scale) * weight[d]
  }
}

/** Gradients of rms_norm. */
export function rms_norm_backward(
  x_grad: Float32Array, // [T, D]
  weight_grad: Float32Array | null, // [D]
  y_grad: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  const normal = new Float32Array(D)
  const g = new Float32Array(D)
  for (let t = 0; t < T; t++) {
    const scale = scaleOf(x, t * D, D, fround(epsilon))
    for (let d = 0; d < D; d++) {
      normal[d] = x[t * D + d] * scale
      g[d] = y_grad[t * D + d] * weight[d]
    }
    const mean = fround(dot(g, 0, normal, 0, D) / fround(D))
    for (let d = 0; d < D; d++) {
      x_grad[t * D + d] = scale * fround(g[d] - fround(normal[d] * mean))
      if (weight_grad) weight_grad[d] += fround(y_grad[t * D + d] * normal[d])
    }
  }
}
