/**
 * linear_i4: linear on int4 weights (src/tensor/int4.ts), four rows side by side, and activations rounded to int8 in
 * blocks of 32 (int8_blocks.ts).
 *
 *   y[t, o] = sum over blocks b of ((scale[o, b] step[t, b]) <q[t, b], n[o, b]> + minimum[o, b] sum[t, b])   + bias[o]
 *
 * for chosen rows o, else +0. The products of a block are exact; blocks are added one after the other, starting at +0,
 * each operation rounded to float32; the bias (+0 if there is none) is added last.
 *
 * It has no gradient: rounding is flat almost everywhere.
 */
import { BLOCK, openRow } from '../tensor/int4.ts'
import { blockTerm, roundBlock } from './int8_blocks.ts'

const { fround } = Math

/** y = x weightᵀ + bias over chosen rows, the weights being int4. */
export function linear_i4(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Uint8Array, // [G, B, 80]
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
  _G: number, // ceil(O / 4)
  B: number, // ceil(I / 32)
): void {
  const count = rows ? R : O
  if (rows) y.fill(0, 0, T * O)
  const q = new Int8Array(B * BLOCK)
  const steps = new Float32Array(B)
  const sums = new Float32Array(B)
  for (let t = 0; t < T; t++) {
    for (let b = 0; b < B; b++) {
      const inBlock = q.subarray(b * BLOCK, (b + 1) * BLOCK).fill(0)
      steps[b] = roundBlock(inBlock, x.subarray(t * I + b * BLOCK, t * I + Math.min(I, (b + 1) * BLOCK)))
      sums[b] = steps[b] * inBlock.reduce((total, one) => total + one, 0)
    }
    for (let r = 0; r < count; r++) {
      const o = rows ? rows[r] : r
      const { numbers, scales, minima } = openRow(weight, o, B)
      let sum = 0
      for (let b = 0; b < B; b++) {
        let product = 0
        for (let i = b * BLOCK; i < (b + 1) * BLOCK; i++) product += q[i] * numbers[i]
        sum = fround(sum + blockTerm(scales[b], minima[b], steps[b], product, sums[b]))
      }
      y[t * O + o] = sum + (bias ? bias[o] : 0)
    }
  }
}
