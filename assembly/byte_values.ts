/**
 * Values held as int8, weighed by factors rounded to int16 and added as whole numbers, a block of positions at a time
 * (src/ops/attention_i8.ts). Within a block nothing has an order.
 */
import { bytes } from './float32'
import { lowerPairs, multiplyPairs, upperPairs } from './int16_pairs'
import { quantizeSteps } from './quantized_steps'
import { blockFactors } from './scratch'

/** Positions of a block. */
export const VALUE_BLOCK: i32 = 64

/** y += factors[s] * rows[s], s < count, the factors of each block as int16. */
export function addByteValues(
  y: usize, // [K]
  rows: usize, // [count, K] i8
  factors: usize, // [count]
  count: i32,
  K: i32,
): void {
  const q = blockFactors()
  const whole = K & ~15
  for (let first = 0; first < count; first += VALUE_BLOCK) {
    const size = min<i32>(VALUE_BLOCK, count - first)
    const step = quantizeSteps(q, factors, size)
    // The second of a pair of which there is one only.
    if (size & 1) store<i16>(q + ((<usize>size) << 1), 0)
    for (let k = 0; k < whole; k += 16) addColumns(y + bytes(k), rows + k, q, step, size, K)
    for (let k = whole; k < K; k++) addColumn(y + bytes(k), rows + k, q, step, size, K)
    rows += <usize>size * <usize>K
    factors += bytes(size)
  }
}

/** Sixteen columns of a block, two rows at a time. */
function addColumns(y: usize, rows: usize, q: usize, step: f32, size: i32, K: i32): void {
  let sum0 = i32x4.splat(0)
  let sum1 = i32x4.splat(0)
  let sum2 = i32x4.splat(0)
  let sum3 = i32x4.splat(0)
  let apart = <usize>K
  let end = q + bytes(size >> 1)
  const last = q + bytes((size + 1) >> 1)
  while (true) {
    for (; q < end; q += 4) {
      const pair = v128.load32_splat(q)
      const a0 = v128.load8x8_s(rows)
      const b0 = v128.load8x8_s(rows + apart)
      const a1 = v128.load8x8_s(rows, 8)
      const b1 = v128.load8x8_s(rows + apart, 8)
      sum0 = multiplyPairs(sum0, pair, lowerPairs(a0, b0))
      sum1 = multiplyPairs(sum1, pair, upperPairs(a0, b0))
      sum2 = multiplyPairs(sum2, pair, lowerPairs(a1, b1))
      sum3 = multiplyPairs(sum3, pair, upperPairs(a1, b1))
      rows += apart << 1
    }
    if (q == last) break
    // A last row is its own second.
    apart = 0
    end = last
  }
  addSums(y, f32x4.splat(step), sum0, sum1, sum2, sum3)
}

/** Adds sixteen sums of whole numbers, in steps, to y. */
export function addSums(y: usize, steps: v128, sum0: v128, sum1: v128, sum2: v128, sum3: v128): void {
  v128.store(y, addFour(v128.load(y), steps, sum0))
  v128.store(y, addFour(v128.load(y, 16), steps, sum1), 16)
  v128.store(y, addFour(v128.load(y, 32), steps, sum2), 32)
  v128.store(y, addFour(v128.load(y, 48), steps, sum3), 48)
}

function addFour(y: v128, steps: v128, sums: v128): v128 {
  return f32x4.add(y, f32x4.mul(steps, f32x4.convert_i32x4_s(sums)))
}

function addColumn(y: usize, rows: usize, q: usize, step: f32, size: i32, K: i32): void {
  let sum = 0
  for (const end = q + ((<usize>size) << 1); q < end; q += 2) {
    sum += <i32>load<i16>(q) * <i32>load<i8>(rows)
    rows += K
  }
  store<f32>(y, load<f32>(y) + step * <f32>sum)
}
