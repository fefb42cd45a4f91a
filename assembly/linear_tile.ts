/**
 * linear for several tokens: striped dots of several tokens by two rows at once, in registers.
 *
 * A striped dot is sixteen lanes that add independently, so it can be computed one vector of lanes (a group: a quarter of
 * them, or half in the wide build) at a time. Both operands are packed so that a group's numbers lie in the order the inner
 * loop needs them (tile.ts). At the end the lanes of each dot are combined as a single dot would combine them: the bits are
 * those of `dot`.
 *
 * A tile's tokens stay in a first-level cache while they meet a block of rows, which stays in a second-level cache while
 * it meets all tokens. At the edges the last tile is moved back to overlap its neighbour, and computes those numbers
 * again.
 */
import { bytes, combineFour, madd, STRIPE, wholeStripes } from './float32'
import { accumulators, packedLeft, packedRight, rowBiases, rowTails } from './scratch'
import { inUnits, one, quad0, quad1, quad2, quad3, storedRow } from './storage'
import { heightOf, LINE, multiplyTile, SHORT, Short, Tall, VECTOR } from './tile'
import { rowAt, unitAt } from './units'

/** Rows are packed in pairs, and finished four at a time. */
const PAIR: i32 = 2
const QUAD: i32 = 4

/** From this many tokens packing costs less than it saves. */
const LEAST_TOKENS: i32 = 4

/** A packed block of tokens: this many numbers at most. */
const BLOCK_TOKENS: i32 = 524288
/** A packed block of rows: this many numbers at most, and this many rows. */
const BLOCK_ROWS: i32 = 65536
const MOST_ROWS: i32 = 48
/** Four rows of this length are a block. */
const LONGEST_ROW: i32 = 16384

/** Tokens of a tile, at most. */
const TALL: i32 = 5
/** Groups of lanes. */
const GROUPS: usize = STRIPE / VECTOR
/** Bytes of the accumulators of one group: [pair of rows 24][token TALL][row 2] vectors. */
const GROUP_BYTES: usize = <usize>((MOST_ROWS / PAIR) * TALL) * LINE
/** Where the quads of a dot stand, from the first on. */
const QUAD1: usize = WIDE ? 16 : GROUP_BYTES
const QUAD2: usize = WIDE ? GROUP_BYTES : GROUP_BYTES * 2
const QUAD3: usize = QUAD2 + QUAD1
/** Bytes of what four rows have past their last whole stripe, [15, 4]. */
const TAIL_BYTES: usize = 240

/** Whether `linearTiled` takes this shape. */
export function isTiled(T: i32, I: i32, count: i32): bool {
  return T >= LEAST_TOKENS && count >= QUAD && I >= 16 && I <= LONGEST_ROW
}

export function linearTiled<W>(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] stored as W
  bias: usize, // [O] or null
  rows: usize, // [count] or null
  T: i32,
  O: i32,
  I: i32,
  count: i32,
): void {
  const tBlock = (BLOCK_TOKENS / I) & ~(SHORT - 1)
  const rBlock = min<i32>(MOST_ROWS, (BLOCK_ROWS / I) & ~(QUAD - 1))
  for (let first = 0; first < T; first += tBlock) {
    const last = min<i32>(first + tBlock, T)
    packTokens(x, first, last, T, I)
    for (let r = 0; r < count; r += rBlock) {
      const rLast = min<i32>(r + rBlock, count)
      packBlock<W>(weight, bias, rows, r, rLast, I, count)
      let left = packedLeft()
      for (let t = first, height = 0; t < last; t += height) {
        height = heightOf<f32, v128>(last - t)
        const t0 = min<i32>(t, T - height)
        multiply(left, height, rLast - r, I)
        for (let k = 0; k < height; k++)
          finish(rowAt(y, t0 + k, O), rowAt(x, t0 + k, I), rows, k, r, rLast, I, count)
        left += wholeStripes(I) * height
      }
    }
  }
}

/** x as [tile][group][step][token] vectors. */
function packTokens(x: usize, first: i32, last: i32, T: i32, I: i32): void {
  const whole = wholeStripes(I)
  let tile = packedLeft()
  for (let t = first, height = 0; t < last; t += height) {
    height = heightOf<f32, v128>(last - t)
    const t0 = min<i32>(t, T - height)
    const step = VECTOR * <usize>height
    for (let k = 0; k < height; k++)
      packToken(tile + VECTOR * <usize>k, step, (whole / GROUPS) * height, rowAt(x, t0 + k, I), I)
    tile += whole * height
  }
}

/** The whole stripes of a token: a vector each `step` bytes, the groups `group` bytes apart. */
function packToken(to: usize, step: usize, group: usize, x: usize, I: i32): void {
  let to1 = to + group
  let to2 = WIDE ? to1 : to1 + group
  let to3 = to2 + group
  for (const end = x + wholeStripes(I); x < end; x += STRIPE) {
    storeTwo(to, to1, v128.load(x), v128.load(x, 16))
    storeTwo(to2, to3, v128.load(x, 32), v128.load(x, 48))
    to += step
    to1 += step
    to2 += step
    to3 += step
  }
}

/** Two neighbouring quads of a stripe: one vector of the wide build, else vectors of two groups. */
function storeTwo(to: usize, other: usize, a: v128, b: v128): void {
  v128.store(WIDE ? to : other, b, WIDE ? 16 : 0)
  v128.store(to, a)
}

/** Rows r.. of the weights as [group][pair][step][row 2] vectors, their biases, and their numbers past the last stripe. */
function packBlock<W>(weight: usize, bias: usize, rows: usize, r: i32, rLast: i32, I: i32, count: i32): void {
  const panel = (wholeStripes(I) / GROUPS) * PAIR
  const group = panel * <usize>pairsOf(rLast - r)
  let to = packedRight()
  for (let q = 0; r + q < rLast; q += QUAD) {
    const r0 = min<i32>(r + q, count - QUAD)
    packRows<W>(to, group, weight, rows, r0, I)
    packRows<W>(to + panel, group, weight, rows, r0 + PAIR, I)
    to += panel * 2
    // A striped dot is never -0, so a bias of +0 changes nothing.
    v128.store(rowBiases() + bytes(q), gather<f32>(bias, rows, r0, 1, 0))
    for (let i = I & ~15; i < I; i++)
      v128.store(
        rowTails() + TAIL_BYTES * <usize>(q / QUAD) + ((<usize>(i & 15)) << 4),
        gather<W>(weight, rows, r0, I, i),
      )
  }
}

/** How many pairs are packed for `count` rows: whole fours. */
function pairsOf(count: i32): i32 {
  return ((count + QUAD - 1) / QUAD) * 2
}

/** Two rows of the weights as [group][step][row 2] vectors, the groups `group` bytes apart. */
function packRows<W>(to: usize, group: usize, weight: usize, rows: usize, r0: i32, I: i32): void {
  let row0 = storedRow<W>(weight, unitAt(rows, r0), I)
  let row1 = storedRow<W>(weight, unitAt(rows, r0 + 1), I)
  let to1 = to + group
  let to2 = WIDE ? to1 : to1 + group
  let to3 = to2 + group
  const end = to + (wholeStripes(I) / GROUPS) * PAIR
  while (to < end) {
    storeTwo(to, to1, inUnits<W>(quad0<W>(row0)), inUnits<W>(quad1<W>(row0)))
    storeTwo(to + VECTOR, to1 + VECTOR, inUnits<W>(quad0<W>(row1)), inUnits<W>(quad1<W>(row1)))
    storeTwo(to2, to3, inUnits<W>(quad2<W>(row0)), inUnits<W>(quad3<W>(row0)))
    storeTwo(to2 + VECTOR, to3 + VECTOR, inUnits<W>(quad2<W>(row1)), inUnits<W>(quad3<W>(row1)))
    to += LINE
    to1 += LINE
    to2 += LINE
    to3 += LINE
    row0 += 16 * sizeof<W>()
    row1 += 16 * sizeof<W>()
  }
}

/** A packed tile of tokens by the packed block of rows, group by group. */
function multiply(left: usize, height: i32, count: i32, I: i32): void {
  const panel = wholeStripes(I) / GROUPS
  const pairs = pairsOf(count)
  let right = packedRight()
  for (let group: usize = 0; group < GROUPS; group++) {
    let to = accumulators() + group * GROUP_BYTES
    for (let pair = 0; pair < pairs; pair++) {
      if (height == SHORT) multiplyTile<f32, v128, Short>(left, right, panel * PAIR, to)
      else multiplyTile<f32, v128, Tall>(left, right, panel * PAIR, to)
      right += panel * PAIR
      to += LINE * TALL
    }
    left += panel * height
  }
}

/** The four quads of a dot, added pairwise. */
function quad(at: usize): v128 {
  return f32x4.add(
    f32x4.add(v128.load(at), v128.load(at, QUAD1)),
    f32x4.add(v128.load(at, QUAD2), v128.load(at, QUAD3)),
  )
}

/** Combines, adds the tails and the biases of token k of the tile, and writes its rows. */
function finish(y: usize, x: usize, rows: usize, k: i32, r: i32, rLast: i32, I: i32, count: i32): void {
  let at = accumulators() + LINE * <usize>k
  for (let q = 0; r + q < rLast; q += QUAD) {
    const r0 = min<i32>(r + q, count - QUAD)
    const a = quad(at)
    const b = quad(at + VECTOR)
    at += LINE * TALL
    let totals = combineFour(a, b, quad(at), quad(at + VECTOR))
    at += LINE * TALL
    let tail = rowTails() + TAIL_BYTES * <usize>(q / QUAD)
    for (let i = I & ~15; i < I; i++) {
      totals = madd(totals, v128.load32_splat(x + bytes(i)), v128.load(tail))
      tail += 16
    }
    totals = f32x4.add(totals, v128.load(rowBiases() + bytes(q)))
    if (rows) scatter(y, totals, rows + bytes(r0))
    else v128.store(y + bytes(r0), totals)
  }
}

/** Writes four numbers to the places of a list. */
export function scatter(y: usize, four: v128, list: usize): void {
  v128.store_lane<f32>(y + bytes(load<i32>(list)), four, 0)
  v128.store_lane<f32>(y + bytes(load<i32>(list, 4)), four, 1)
  v128.store_lane<f32>(y + bytes(load<i32>(list, 8)), four, 2)
  v128.store_lane<f32>(y + bytes(load<i32>(list, 12)), four, 3)
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
