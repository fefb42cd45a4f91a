/**
 * layer_norm: affine layer normalisation over the width, as in every OPT block (epsilon 1e-5).
 *
 *   mean = sum(x) / D;  variance = sum((x - mean)^2) / D;  scale = 1 / sqrt(variance + epsilon)
 *   y = (x - mean) * scale * weight + bias
 *
 * Both sums are striped; D is rounded to float32 before it divides.
 *
 * Backward, with n = (x - mean) * scale and g = y_grad * weight:
 *   x_grad = scale * ((g - mean(g)) - n * mean(g n));  weight_grad += y_grad n;  bias_grad += y_grad, sequential in t
 */
import { dot, sum, sumSquaredDeviations } from './float32.ts'

const { fround, sqrt } = Math

interface Moments {
  mean: number
  scale: number
}

/** The mean of a row, and 1 over the root of its variance. */
export function moments(x: Float32Array, start: number, D: number, epsilon: number): Moments {
  const mean = fround(sum(x, start, D) / fround(D))
  const variance = fround(sumSquaredDeviations(x, start, D, mean) / fround(D))
  return { mean, scale: fround(1 / fround(sqrt(fround(variance + epsilon)))) }
}

/** Normalises each row, then scales and shifts it. */
export function layer_norm(
  y: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  bias: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) {
    const { mean, scale } = moments(x, t * D, D, fround(epsilon))
    for (let d = 0; d < D; d++) {
      const normal = fround(fround(x[t * D + d] - mean) * scale)
      y[t * D + d] = fround(normal * weight[d]) + bias[d]
    }
  }
}

/** Gradients of layer_norm. */
export function layer_norm_backward(
  x_grad: Float32Array, // [T, D]
  weight_grad: Float32Array | null, // [D]
  bias_grad: Float32Array | null, // [D]
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
    const { mean, scale } = moments(x, t * D, D, fround(epsilon))
    for (let d = 0; d < D; d++) {
      normal[d] = fround(x[t * D + d] - mean) * scale
      g[d] = y_grad[t * D + d] * weight[d]
    }
    const gMean = fround(sum(g, 0, D) / fround(D))
    const gnMean = fround(dot(g, 0, normal, 0, D) / fround(D))
    for (let d = 0; d < D; d++) {
      const centred = fround(fround(g[d] - gMean) - fround(normal[d] * gnMean))
      x_grad[t * D + d] = scale * centred
      if (weight_grad) weight_grad[d] += fround(y_grad[t * D + d] * normal[d])
      if (bias_grad) bias_grad[d] += y_grad[t * D + d]
    }
  }
}
