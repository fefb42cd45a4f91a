/**
 * linear_input_major_i4: linear_input_major on int4 weights with a row per unit (src/tensor/int4.ts), and activations
 * rounded to int8 in blocks (int8_blocks.ts).
 *
 * Each row names its block: `blocks[i]` says which scales and minima input i takes. So rows may be packed, in
 * any order, and keep the scales they were rounded with. The chosen inputs of a block are rounded together:
 *
 *   y[t, o] = sum over blocks b of ((scale[b, o] step[t, b]) p[t, b, o] + minimum[b, o] sum[t, b])   + bias[o]
 *   p[t, b, o] = sum over chosen inputs i of block b of q[t, i] n[i, o]
 *
 * p is exact, and rounded to float32 once; blocks are added in the order of their numbers, starting at +0, each operation
 * rounded to float32; the bias (+0 if there is none) is added last. A block without chosen inputs is no term: its scales are
 * not looked at. An input of zero changes neither a step nor a sum: skipping a unit equals zeroing its activation, exactly.
 * Where all inputs are chosen the bits are those of linear_i4 on the same blocks.
 *
 * It has no gradient: rounding is flat almost everywhere.
 */
import { scaleAt, TILE, unitNumber } from '../tensor/int4.ts'
import { blockTerm, roundBlock } from './int8_blocks.ts'

const { fround } = Math

/** y = x weight + bias over chosen inputs, the weights being int4. */
export function linear_input_major_i4(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Uint8Array, // [C, S, 32]
  scales: Float32Array, // [C, B, 128]: 64 scales, then 64 minima
  blocks: Int32Array, // [I], below B
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I, in any order
  T: number,
  O: number,
  I: number,
  R: number,
  _C: number, // ceil(O / 64)
  S: number, // rows there is room for, at least I
  B: number,
): void {
  const members: number[][] = Array.from({ length: B }, () => [])
  const count = inputs ? R : I
  for (let r = 0; r < count; r++) {
    const i = inputs ? inputs[r] : r
    members[blocks[i]].push(i)
  }
  y.fill(0, 0, T * O)
  for (const [b, chosen] of members.entries()) {
    if (chosen.length === 0) continue
    const q = new Int8Array(chosen.length)
    for (let t = 0; t < T; t++) {
      const step = roundBlock(
        q,
        Float32Array.from(chosen, (i) => x[t * I + i]),
      )
      const sum = fround(step * q.reduce((total, one) => total + one, 0))
      for (let o = 0; o < O; o++) {
        let product = 0
        for (const [k, i] of chosen.entries()) product += q[k] * unitNumber(weight, o, i, S)
        const at = scaleAt(o, b, B)
        y[t * O + o] += blockTerm(scales[at], scales[at + TILE], step, fround(product), sum)
      }
    }
  }
  if (bias) for (let t = 0; t < T; t++) for (let o = 0; o < O; o++) y[t * O + o] += bias[o]
}
