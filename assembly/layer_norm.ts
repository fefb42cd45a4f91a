/**
 * layer_norm: y = (x - mean) * scale * weight + bias per row, scale = 1 / sqrt(variance + epsilon); striped sums.
 * layer_norm_backward: its gradients. Formulas and order: src/ops/layer_norm.ts.
 */
import { addArrays } from './elementwise'
import { bytes, combine, dot, STRIPE, sum, sumSquaredDeviations, wholeQuads, wholeStripes } from './float32'
import { rowAt } from './units'

function scaleOf(x: usize, mean: f32, epsilon: f32, D: i32): f32 {
  return <f32>1 / sqrt<f32>(sumSquaredDeviations(x, D, mean) / <f32>D + epsilon)
}

export function layer_norm(
  y: usize, // [T, D]
  x: usize, // [T, D]
  weight: usize, // [D]
  bias: usize, // [D]
  epsilon: f32,
  T: i32,
  D: i32,
): void {
  for (let t = 0; t < T; t++) {
    const row = rowAt(x, t, D)
    const mean = sum(row, D) / <f32>D
    normalise(rowAt(y, t, D), row, weight, bias, mean, scaleOf(row, mean, epsilon, D), D)
  }
}

function normalise(y: usize, x: usize, weight: usize, bias: usize, mean: f32, scale: f32, D: i32): void {
  const means = f32x4.splat(mean)
  const scales = f32x4.splat(scale)
  const end = bytes(D)
  const whole = wholeQuads(D)
  let d: usize = 0
  for (; d < whole; d += 16) {
    const normal = f32x4.mul(f32x4.sub(v128.load(x + d), means), scales)
    v128.store(y + d, f32x4.add(f32x4.mul(normal, v128.load(weight + d)), v128.load(bias + d)))
  }
  for (; d < end; d += 4) {
    const normal = (load<f32>(x + d) - mean) * scale
    store<f32>(y + d, normal * load<f32>(weight + d) + load<f32>(bias + d))
  }
}

export function layer_norm_backward(
  x_grad: usize, // [T, D]
  weight_grad: usize, // [D] or null
  bias_grad: usize, // [D] or null
  y_grad: usize, // [T, D]
  x: usize, // [T, D]
  weight: usize, // [D]
  epsilon: f32,
  T: i32,
  D: i32,
): void {
  for (let t = 0; t < T; t++) {
    const row = rowAt(x, t, D)
    const grad = rowAt(y_grad, t, D)
    const mean = sum(row, D) / <f32>D
    const scale = scaleOf(row, mean, epsilon, D)
    const gMean = dot<f32>(grad, weight, D) / <f32>D
    const gnMean = sumOfGN(grad, weight, row, mean, scale, D) / <f32>D
    writeInputGradient(rowAt(x_grad, t, D), grad, weight, row, mean, scale, gMean, gnMean, D)
    if (weight_grad) addWeightGradient(weight_grad, grad, row, mean, scale, D)
    if (bias_grad) addArrays(bias_grad, bias_grad, grad, D)
  }
}

/** g n of four elements: both factors are rounded before they meet. */
function gn4(y_grad: usize, weight: usize, x: usize, means: v128, scales: v128): v128 {
  const g = f32x4.mul(v128.load(y_grad), v128.load(weight))
  return f32x4.mul(g, f32x4.mul(f32x4.sub(v128.load(x), means), scales))
}

/** Striped sum of g n, with g = y_grad * weight and n = (x - mean) * scale. */
function sumOfGN(y_grad: usize, weight: usize, x: usize, mean: f32, scale: f32, D: i32): f32 {
  const means = f32x4.splat(mean)
  const scales = f32x4.splat(scale)
  const end = bytes(D)
  const whole = wholeStripes(D)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  let d: usize = 0
  for (; d < whole; d += STRIPE) {
    acc0 = f32x4.add(acc0, gn4(y_grad + d, weight + d, x + d, means, scales))
    acc1 = f32x4.add(acc1, gn4(y_grad + d + 16, weight + d + 16, x + d + 16, means, scales))
    acc2 = f32x4.add(acc2, gn4(y_grad + d + 32, weight + d + 32, x + d + 32, means, scales))
    acc3 = f32x4.add(acc3, gn4(y_grad + d + 48, weight + d + 48, x + d + 48, means, scales))
  }
  let total = combine(acc0, acc1, acc2, acc3)
  for (; d < end; d += 4) {
    const g = load<f32>(y_grad + d) * load<f32>(weight + d)
    total += g * ((load<f32>(x + d) - mean) * scale)
  }
  return total
}

/** x_grad = scale * ((g - mean(g)) - n * mean(g n)). */
function writeInputGradient(
  x_grad: usize,
  y_grad: usize,
  weight: usize,
  x: usize,
  mean: f32,
  scale: f32,
  gMean: f32,
  gnMean: f32,
  D: i32,
): void {
  const means = f32x4.splat(mean)
  const scales = f32x4.splat(scale)
  const gMeans = f32x4.splat(gMean)
  const gnMeans = f32x4.splat(gnMean)
  const end = bytes(D)
  const whole = wholeQuads(D)
  let d: usize = 0
  for (; d < whole; d += 16) {
    const g = f32x4.mul(v128.load(y_grad + d), v128.load(weight + d))
    const normal = f32x4.mul(f32x4.sub(v128.load(x + d), means), scales)
    const centred = f32x4.sub(f32x4.sub(g, gMeans), f32x4.mul(normal, gnMeans))
    v128.store(x_grad + d, f32x4.mul(scales, centred))
  }
  for (; d < end; d += 4) {
    const g = load<f32>(y_grad + d) * load<f32>(weight + d)
    const normal = (load<f32>(x + d) - mean) * scale
    store<f32>(x_grad + d, scale * (g - gMean - normal * gnMean))
  }
}

/** weight_grad += y_grad n. */
function addWeightGradient(weight_grad: usize, y_grad: usize, x: usize, mean: f32, scale: f32, D: i32): void {
  const means = f32x4.splat(mean)
  const scales = f32x4.splat(scale)
  const end = bytes(D)
  const whole = wholeQuads(D)
  let d: usize = 0
  for (; d < whole; d += 16) {
    const normal = f32x4.mul(f32x4.sub(v128.load(x + d), means), scales)
    const term = f32x4.mul(v128.load(y_grad + d), normal)
    v128.store(weight_grad + d, f32x4.add(v128.load(weight_grad + d), term))
  }
  for (; d < end; d += 4) {
    const normal = (load<f32>(x + d) - mean) * scale
    store<f32>(weight_grad + d, load<f32>(weight_grad + d) + load<f32>(y_grad + d) * normal)
  }
}
