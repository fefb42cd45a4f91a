/**
 * linear for several tokens: the striped dots of three tokens by three rows at once, in registers.
 *
 * A striped dot is sixteen lanes that add independently, so it can be computed one accumulator (four lanes) at a time:
 * nine accumulators, one per pair, walk the reduction together, four walks, each stepping over a stripe. Then each
 * pair's four accumulators are combined as a single dot would: the bits are those of `dot`. A reduction longer than
 * BLOCK is cut, the accumulators resting in scratch meanwhile. At the edges the last tile is moved back to overlap its
 * neighbour, and computes those numbers again.
 */
import { bytes, combine, STRIPE, wholeStripes } from './float32'
import { accumulators } from './scratch'
import { rowAt, unitAt } from './units'

/** Tokens and rows of a tile: 9 accumulators, 3 + 1 operands and a product fit the 15 registers of x86 engines. */
export const TILE: i32 = 3

/** Bytes of a reduction walked at a time: six rows of it stay in a 32 KiB first-level cache. */
const BLOCK: usize = 4096

/** Bytes of x that stay in the second-level cache while the weights stream past. */
const RESIDENT: usize = 262144

export function linearTiled(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I]
  bias: usize, // [O] or null
  rows: usize, // [count] or null
  T: i32,
  O: i32,
  I: i32,
  count: i32,
): void {
  const width = bytes(I) > 0 ? bytes(I) : 4
  const chunk = max<i32>(TILE, (<i32>(RESIDENT / width) / TILE) * TILE)
  for (let first = 0; first < T; first += chunk) {
    const last = min<i32>(first + chunk, T)
    for (let r = 0; r < count; r += TILE) {
      const r0 = min<i32>(r, count - TILE)
      const o0 = unitAt(rows, r0)
      const o1 = unitAt(rows, r0 + 1)
      const o2 = unitAt(rows, r0 + 2)
      for (let t = first; t < last; t += TILE) {
        const t0 = min<i32>(t, T - TILE)
        const xt = rowAt(x, t0, I)
        const yt = rowAt(y, t0, O)
        const w0 = rowAt(weight, o0, I)
        const w1 = rowAt(weight, o1, I)
        const w2 = rowAt(weight, o2, I)
        walk(xt, bytes(I), w0, w1, w2, wholeStripes(I))
        finishRow(0, yt + bytes(o0), bytes(O), xt, w0, bias ? bias + bytes(o0) : 0, I)
        finishRow(1, yt + bytes(o1), bytes(O), xt, w1, bias ? bias + bytes(o1) : 0, I)
        finishRow(2, yt + bytes(o2), bytes(O), xt, w2, bias ? bias + bytes(o2) : 0, I)
      }
    }
  }
}

/** Accumulates the whole stripes of nine dots. */
function walk(x: usize, xStride: usize, w0: usize, w1: usize, w2: usize, length: usize): void {
  memory.fill(accumulators, 0, 4 * 9 * 16)
  const x1 = x + xStride
  const x2 = x1 + xStride
  for (let start: usize = 0; start < length; start += BLOCK) {
    const size = min<usize>(BLOCK, length - start)
    for (let group: usize = 0; group < 4; group++) {
      const from = start + group * 16
      walkGroup(
        accumulators + group * 144,
        x + from,
        x1 + from,
        x2 + from,
        w0 + from,
        w1 + from,
        w2 + from,
        size,
      )
    }
  }
}

/** One accumulator of each of the nine pairs, over `length` bytes. */
function walkGroup(
  accumulator: usize,
  x0: usize,
  x1: usize,
  x2: usize,
  w0: usize,
  w1: usize,
  w2: usize,
  length: usize,
): void {
  let a00 = v128.load(accumulator)
  let a01 = v128.load(accumulator, 16)
  let a02 = v128.load(accumulator, 32)
  let a10 = v128.load(accumulator, 48)
  let a11 = v128.load(accumulator, 64)
  let a12 = v128.load(accumulator, 80)
  let a20 = v128.load(accumulator, 96)
  let a21 = v128.load(accumulator, 112)
  let a22 = v128.load(accumulator, 128)
  for (let i: usize = 0; i < length; i += STRIPE) {
    const p0 = v128.load(x0 + i)
    const p1 = v128.load(x1 + i)
    const p2 = v128.load(x2 + i)
    let w = v128.load(w0 + i)
    a00 = f32x4.add(a00, f32x4.mul(p0, w))
    a01 = f32x4.add(a01, f32x4.mul(p1, w))
    a02 = f32x4.add(a02, f32x4.mul(p2, w))
    w = v128.load(w1 + i)
    a10 = f32x4.add(a10, f32x4.mul(p0, w))
    a11 = f32x4.add(a11, f32x4.mul(p1, w))
    a12 = f32x4.add(a12, f32x4.mul(p2, w))
    w = v128.load(w2 + i)
    a20 = f32x4.add(a20, f32x4.mul(p0, w))
    a21 = f32x4.add(a21, f32x4.mul(p1, w))
    a22 = f32x4.add(a22, f32x4.mul(p2, w))
  }
  v128.store(accumulator, a00)
  v128.store(accumulator, a01, 16)
  v128.store(accumulator, a02, 32)
  v128.store(accumulator, a10, 48)
  v128.store(accumulator, a11, 64)
  v128.store(accumulator, a12, 80)
  v128.store(accumulator, a20, 96)
  v128.store(accumulator, a21, 112)
  v128.store(accumulator, a22, 128)
}

/** Combines, adds the tail and the bias of one row's three tokens, and writes them. */
function finishRow(row: usize, y: usize, yStride: usize, x: usize, w: usize, bias: usize, I: i32): void {
  const whole = wholeStripes(I)
  const end = bytes(I)
  for (let t: usize = 0; t < 3; t++) {
    const at = accumulators + (row * 3 + t) * 16
    let value = combine(v128.load(at), v128.load(at, 144), v128.load(at, 288), v128.load(at, 432))
    for (let i = whole; i < end; i += 4) value += load<f32>(x + i) * load<f32>(w + i)
    if (bias) value += load<f32>(bias)
    store<f32>(y, value)
    y += yStride
    x += end
  }
}
