/**
 * rms_norm: y = x * scale * weight per row, scale = 1 / sqrt(mean(x^2) + epsilon); the sum of squares is striped.
 * rms_norm_backward: its gradients. Formulas and order: src/ops/rms_norm.ts.
 */
import {
  bytes,
  combine,
  madd,
  madd1,
  STRIPE,
  sumSquaredDeviations,
  wholeQuads,
  wholeStripes,
} from './float32'
import { rowAt } from './units'

/** 1 over the root mean square of a row. The squares are rounded in the relaxed build too. */
function scaleOf(x: usize, epsilon: f32, D: i32): f32 {
  return <f32>1 / sqrt<f32>(sumSquaredDeviations(x, D, 0) / <f32>D + epsilon)
}

export function rms_norm(
  y: usize, // [T, D]
  x: usize, // [T, D]
  weight: usize, // [D]
  epsilon: f32,
  T: i32,
  D: i32,
): void {
  const end = bytes(D)
  const whole = wholeQuads(D)
  for (let t = 0; t < T; t++) {
    const from = rowAt(x, t, D)
    const to = rowAt(y, t, D)
    const scale = scaleOf(from, epsilon, D)
    const scales = f32x4.splat(scale)
    let d: usize = 0
    for (; d < whole; d += 16)
      v128.store(to + d, f32x4.mul(f32x4.mul(v128.load(from + d), scales), v128.load(weight + d)))
    for (; d < end; d += 4) store<f32>(to + d, load<f32>(from + d) * scale * load<f32>(weight + d))
  }
}

export function rms_norm_backward(
  x_grad: usize, // [T, D]
  weight_grad: usize, // [D] or null
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
    const scale = scaleOf(row, epsilon, D)
    const mean = sumOfGN(grad, weight, row, scale, D) / <f32>D
    writeInputGradient(rowAt(x_grad, t, D), grad, weight, row, scale, mean, D)
    if (weight_grad) addWeightGradient(weight_grad, grad, row, scale, D)
  }
}

/** sum + g n of four elements, with g = y_grad * weight and n = x * scale. */
function addGN(sum: v128, y_grad: usize, weight: usize, x: usize, scales: v128): v128 {
  return madd(sum, f32x4.mul(v128.load(y_grad), v128.load(weight)), f32x4.mul(v128.load(x), scales))
}

/** Striped sum of g n. */
function sumOfGN(y_grad: usize, weight: usize, x: usize, scale: f32, D: i32): f32 {
  const scales = f32x4.splat(scale)
  const end = bytes(D)
  const whole = wholeStripes(D)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  let d: usize = 0
  for (; d < whole; d += STRIPE) {
    acc0 = addGN(acc0, y_grad + d, weight + d, x + d, scales)
    acc1 = addGN(acc1, y_grad + d + 16, weight + d + 16, x + d + 16, scales)
    acc2 = addGN(acc2, y_grad + d + 32, weight + d + 32, x + d + 32, scales)
    acc3 = addGN(acc3, y_grad + d + 48, weight + d + 48, x + d + 48, scales)
  }
  let total = combine(acc0, acc1, acc2, acc3)
  for (; d < end; d += 4)
    total = madd1(total, load<f32>(y_grad + d) * load<f32>(weight + d), load<f32>(x + d) * scale)
  return total
}

/** x_grad = scale * (g - n * mean). */
function writeInputGradient(
  x_grad: usize,
  y_grad: usize,
  weight: usize,
  x: usize,
  scale: f32,
  mean: f32,
  D: i32,
): void {
  const scales = f32x4.splat(scale)
  const means = f32x4.splat(mean)
  const end = bytes(D)
  const whole = wholeQuads(D)
  let d: usize = 0
  for (; d < whole; d += 16) {
    const g = f32x4.mul(v128.load(y_grad + d), v128.load(weight + d))
    const along = f32x4.mul(f32x4.mul(v128.load(x + d), scales), means)
    v128.store(x_grad + d, f32x4.mul(scales, f32x4.sub(g, along)))
  }
  for (; d < end; d += 4) {
    const g = load<f32>(y_grad + d) * load<f32>(weight + d)
    store<f32>(x_grad + d, scale * (g - load<f32>(x + d) * scale * mean))
  }
}

/** weight_grad += y_grad n. */
function addWeightGradient(weight_grad: usize, y_grad: usize, x: usize, scale: f32, D: i32): void {
  const scales = f32x4.splat(scale)
  const end = bytes(D)
  const whole = wholeQuads(D)
  let d: usize = 0
  for (; d < whole; d += 16) {
    const term = f32x4.mul(v128.load(y_grad + d), f32x4.mul(v128.load(x + d), scales))
    v128.store(weight_grad + d, f32x4.add(v128.load(weight_grad + d), term))
  }
  for (; d < end; d += 4) {
    const term = load<f32>(y_grad + d) * (load<f32>(x + d) * scale)
    store<f32>(weight_grad + d, load<f32>(weight_grad + d) + term)
  }
}
