/**
 * linear for several tokens: the striped dots of two tokens by four rows at once, in registers.
 *
 * A striped dot is sixteen lanes that add independently, so it can be computed one accumulator (a group of four lanes)
 * at a time. Both operands are packed so that a group's numbers lie in the order the inner loop needs them; eight
 * accumulators, one per pair, then walk a group's panel together. At the end each pair's four accumulators are combined
 * as a single dot would combine them: the bits are those of `dot`. At the edges the last tile is moved back to overlap
 * its neighbour, and computes those numbers again.
 */
import { bytes, combineFour, madd, wholeStripes } from './float32'
import { accumulators, packedLeft, packedRight, rowTails } from './scratch'
import { inUnits, one, quad0, quad1, quad2, quad3, storedRow } from './storage'
import { rowAt, unitAt } from './units'

/** A tile: eight accumulators, six operands and a product fit the 15 registers engines have on x86. */
const TILE_T: i32 = 2
const TILE_O: i32 = 4

/** From this many tokens packing costs less than it saves. */
const LEAST_TOKENS: i32 = 4

/** A packed block of x: this many numbers; more tokens per block mean fewer packings of the weights. */
const BLOCK: i32 = 262144
/** At most this many tokens, so that their accumulators stay in a first-level cache. */
const MOST_TOKENS: i32 = 96
/** Four packed rows of the weights: this many numbers each at most. */
const LONGEST_ROW: i32 = 16384

/** Bytes of one tile's accumulators: [group 4][token 2][row 4] f32x4. */
const TILE_BYTES: usize = 512

/** Whether `linearTiled` takes this shape. */
export function isTiled(T: i32, I: i32, count: i32): bool {
  return T >= LEAST_TOKENS && count >= TILE_O && I >= 16 && I <= LONGEST_ROW
}

export function linearTiled<W>(
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
  const block = min<i32>(MOST_TOKENS, (BLOCK / I) & ~(TILE_T - 1))
  for (let first = 0; first < T; first += block) {
    const last = min<i32>(first + block, T)
    packTokens(x, first, last, T, I)
    for (let r = 0; r < count; r += TILE_O) {
      const r0 = min<i32>(r, count - TILE_O)
      packRows<W>(weight, rows, r0, I)
      multiply(last - first, I)
      // A striped dot is never -0, so a bias of +0 changes nothing.
      const biases = gather<f32>(bias, rows, r0, 1, 0)
      for (let t = first; t < last; t += TILE_T) {
        const t0 = min<i32>(t, T - TILE_T)
        const tile = accumulators() + <usize>(t - first) * (TILE_BYTES / TILE_T)
        finish(tile, rowAt(y, t0, O), rowAt(x, t0, I), biases, rows, r0, I)
        finish(tile + 64, rowAt(y, t0 + 1, O), rowAt(x, t0 + 1, I), biases, rows, r0, I)
      }
    }
  }
}

/** x as [tile][group 4][step][token 2] f32x4. */
function packTokens(x: usize, first: i32, last: i32, T: i32, I: i32): void {
  const whole = wholeStripes(I)
  let tile = packedLeft()
  for (let t = first; t < last; t += TILE_T) {
    const row = rowAt(x, min<i32>(t, T - TILE_T), I)
    interleave<f32>(tile, row, whole, TILE_T)
    interleave<f32>(tile + 16, row + bytes(I), whole, TILE_T)
    tile += whole * TILE_T
  }
}

/** Four rows of the weights as [group 4][step][row 4] f32x4, and what is past their last stripe as [i][row 4]. */
function packRows<W>(weight: usize, rows: usize, r0: i32, I: i32): void {
  const whole = wholeStripes(I)
  for (let r = 0; r < TILE_O; r++)
    interleave<W>(
      packedRight() + ((<usize>r) << 4),
      storedRow<W>(weight, unitAt(rows, r0 + r), I),
      whole,
      TILE_O,
    )
  let to = rowTails()
  for (let i = I & ~15; i < I; i++) {
    v128.store(to, gather<W>(weight, rows, r0, I, i))
    to += 16
  }
}

/** Spreads the stripes of one row, stored as W: group g of step s goes to place (g * steps + s) * width. */
function interleave<W>(to: usize, row: usize, whole: usize, width: usize): void {
  const panel = (whole >> 2) * width
  const end = to + panel
  while (to < end) {
    v128.store(to, inUnits<W>(quad0<W>(row)))
    v128.store(to + panel, inUnits<W>(quad1<W>(row)))
    v128.store(to + panel * 2, inUnits<W>(quad2<W>(row)))
    v128.store(to + panel * 3, inUnits<W>(quad3<W>(row)))
    to += width << 4
    row += 16 * sizeof<W>()
  }
}

/** All tiles of the packed tokens by the packed rows, group by group. */
function multiply(tokens: i32, I: i32): void {
  const panel = wholeStripes(I) >> 2
  for (let group: usize = 0; group < 4; group++) {
    const right = packedRight() + group * panel * TILE_O
    let left = packedLeft() + group * panel * TILE_T
    let to = accumulators() + group * 128
    for (let t = 0; t < tokens; t += TILE_T) {
      walk(to, left, right, panel * TILE_T)
      left += panel * 4 * TILE_T
      to += TILE_BYTES
    }
  }
}

/** One group of each of the eight dots; `size` is the bytes of the tokens' panel. */
function walk(to: usize, left: usize, right: usize, size: usize): void {
  let a00 = f32x4.splat(0)
  let a01 = f32x4.splat(0)
  let a10 = f32x4.splat(0)
  let a11 = f32x4.splat(0)
  let a20 = f32x4.splat(0)
  let a21 = f32x4.splat(0)
  let a30 = f32x4.splat(0)
  let a31 = f32x4.splat(0)
  const end = left + size
  while (left < end) {
    const x0 = v128.load(left)
    const x1 = v128.load(left, 16)
    const w0 = v128.load(right)
    a00 = madd(a00, x0, w0)
    a01 = madd(a01, x1, w0)
    const w1 = v128.load(right, 16)
    a10 = madd(a10, x0, w1)
    a11 = madd(a11, x1, w1)
    const w2 = v128.load(right, 32)
    a20 = madd(a20, x0, w2)
    a21 = madd(a21, x1, w2)
    const w3 = v128.load(right, 48)
    a30 = madd(a30, x0, w3)
    a31 = madd(a31, x1, w3)
    left += 32
    right += 64
  }
  v128.store(to, a00)
  v128.store(to, a10, 16)
  v128.store(to, a20, 32)
  v128.store(to, a30, 48)
  v128.store(to, a01, 64)
  v128.store(to, a11, 80)
  v128.store(to, a21, 96)
  v128.store(to, a31, 112)
}

/** The four accumulators of one pair, added pairwise. */
function quad(at: usize): v128 {
  return f32x4.add(
    f32x4.add(v128.load(at), v128.load(at, 128)),
    f32x4.add(v128.load(at, 256), v128.load(at, 384)),
  )
}

/** Combines, adds the tail and the biases of one token's four rows, and writes them. */
function finish(tile: usize, y: usize, x: usize, bias: v128, rows: usize, r0: i32, I: i32): void {
  let totals = combineFour(quad(tile), quad(tile + 16), quad(tile + 32), quad(tile + 48))
  let weights = rowTails()
  const end = x + bytes(I)
  for (x += wholeStripes(I); x < end; x += 4) {
    totals = madd(totals, v128.load32_splat(x), v128.load(weights))
    weights += 16
  }
  totals = f32x4.add(totals, bias)
  if (rows) {
    v128.store_lane<f32>(y + bytes(unitAt(rows, r0)), totals, 0)
    v128.store_lane<f32>(y + bytes(unitAt(rows, r0 + 1)), totals, 1)
    v128.store_lane<f32>(y + bytes(unitAt(rows, r0 + 2)), totals, 2)
    v128.store_lane<f32>(y + bytes(unitAt(rows, r0 + 3)), totals, 3)
  } else v128.store(y + bytes(r0), totals)
}

/** One number, stored as W, of each of four chosen rows; +0 where there are none. */
function gather<W>(numbers: usize, rows: usize, r0: i32, width: i32, column: i32): v128 {
  if (!numbers) return f32x4.splat(0)
  numbers = storedRow<W>(numbers, column, 1)
  let four = f32x4.splat(one<W>(storedRow<W>(numbers, unitAt(rows, r0), width)))
  four = f32x4.replace_lane(four, 1, one<W>(storedRow<W>(numbers, unitAt(rows, r0 + 1), width)))
  four = f32x4.replace_lane(four, 2, one<W>(storedRow<W>(numbers, unitAt(rows, r0 + 2), width)))
  return f32x4.replace_lane(four, 3, one<W>(storedRow<W>(numbers, unitAt(rows, r0 + 3), width)))
}
