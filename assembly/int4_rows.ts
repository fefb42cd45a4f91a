/**
 * What the kernels of linear_i4 read and write: tokens rounded in blocks, rows four side by side, and results of four rows.
 */
import { bytes } from './float32'
import { BLOCK, copyInterleavedRow, QUAD } from './int4'
import { gatheredRows, packedRight, quantized, tileSums } from './scratch'
import { unitAt } from './units'

/** A token's rounded numbers, [B, 32] i8; its steps, [B]; and its sums, [B]. */
export function numbersOf(t: i32, B: i32): usize {
  return quantized() + <usize>t * <usize>B * BLOCK
}

export function stepsOf(t: i32, B: i32): usize {
  return packedRight() + bytes(2 * t * B)
}

export function sumsOf(t: i32, B: i32): usize {
  return packedRight() + bytes((2 * t + 1) * B)
}

/** Where four rows lie side by side: entries 4 quad and on of the list, copied to a place of their own if they must be. */
export function fourRows(place: i32, weight: usize, rows: usize, quad: i32, count: i32, B: i32): usize {
  const size = <usize>B * QUAD
  if (!rows) return weight + <usize>quad * size
  const r = quad << 2
  const first = unitAt(rows, r)
  if (!(first & 3) && r + 3 < count && unitAt(rows, r + 3) == first + 3)
    return weight + <usize>(first >> 2) * size
  const to = gatheredRows() + <usize>place * size
  for (let lane = 0; lane < 4; lane++)
    copyInterleavedRow(to, lane, weight, unitAt(rows, min<i32>(r + lane, count - 1)), B)
  return to
}

/** Four numbers as those of entries 4 quad and on, with their biases. */
export function finish(y: usize, four: v128, bias: usize, rows: usize, quad: i32, count: i32): void {
  const r = quad << 2
  if (!rows && r + 4 <= count) {
    v128.store(y + bytes(r), f32x4.add(four, bias ? v128.load(bias + bytes(r)) : f32x4.splat(0)))
    return
  }
  v128.store(tileSums(), four)
  for (let lane = 0; lane < min<i32>(4, count - r); lane++) {
    const o = bytes(unitAt(rows, r + lane))
    store<f32>(y + o, load<f32>(tileSums() + bytes(lane)) + (bias ? load<f32>(bias + o) : 0))
  }
}
