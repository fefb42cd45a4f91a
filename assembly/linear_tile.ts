/**
 * linear for several tokens: striped dots of several tokens by two rows at once, in registers.
 *
 * A striped dot is sixteen lanes that add independently, so it can be computed one accumulator (a group of four lanes)
 * at a time. Both operands are packed so that a group's numbers lie in the order the inner loop needs them; a tile of
 * accumulators, one per pair, then walks a group's panels together. At the end each pair's four accumulators are combined
 * as a single dot would combine them: the bits are those of `dot`.
 *
 * A tile's tokens stay in a first-level cache while they meet a block of rows, which stays in a second-level cache while
 * it meets all tokens. At the edges the last tile is moved back to overlap its neighbour, and computes those numbers
 * again.
 */
import { bytes, combineFour, madd, STRIPE, wholeStripes } from './float32'
import { accumulators, packedLeft, packedRight, rowBiases, rowTails } from './scratch'
import { inUnits, one, quad0, quad1, quad2, quad3, storedRow } from './storage'
import { rowAt, unitAt } from './units'

/**
 * Tokens of a tile, by two rows: ten accumulators, three operands and a product fit the 15 registers engines have on x86.
 * Where products are fused, eight do as much arithmetic, and engines unroll the shorter loop further.
 */
const TALL: i32 = FUSES ? 4 : 5
const SHORT: i32 = 4
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

/** Bytes of the accumulators of one group: [pair of rows 24][token TALL][row 2] f32x4. */
const GROUP_BYTES: usize = (<usize>(MOST_ROWS * TALL)) << 4
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
        height = heightOf(last - t)
        const t0 = min<i32>(t, T - height)
        multiply(left, height, rLast - r, I)
        for (let k = 0; k < height; k++)
          finish(rowAt(y, t0 + k, O), rowAt(x, t0 + k, I), rows, k, r, rLast, I, count)
        left += wholeStripes(I) * height
      }
    }
  }
}

/** The tokens of the next tile where `left` are left: short ones first, until tall ones fit. */
function heightOf(left: i32): i32 {
  return left % TALL ? SHORT : TALL
}

/** x as [tile][group 4][step][token] f32x4. */
function packTokens(x: usize, first: i32, last: i32, T: i32, I: i32): void {
  const whole = wholeStripes(I)
  let tile = packedLeft()
  for (let t = first, height = 0; t < last; t += height) {
    height = heightOf(last - t)
    const t0 = min<i32>(t, T - height)
    for (let k = 0; k < height; k++)
      spread(tile + ((<usize>k) << 4), (whole >> 2) * height, rowAt(x, t0 + k, I), whole, height << 4)
    tile += whole * height
  }
}

/** Spreads the stripes of one token: group g of step s goes to g * group + s * width. */
function spread(to: usize, group: usize, x: usize, whole: usize, width: usize): void {
  const end = x + whole
  let to1 = to + group
  let to2 = to1 + group
  let to3 = to2 + group
  while (x < end) {
    v128.store(to, v128.load(x))
    v128.store(to1, v128.load(x, 16))
    v128.store(to2, v128.load(x, 32))
    v128.store(to3, v128.load(x, 48))
    to += width
    to1 += width
    to2 += width
    to3 += width
    x += STRIPE
  }
}

/** Rows r.. of the weights as [group 4][pair][step][row 2] f32x4, their biases, and their numbers past the last stripe. */
function packBlock<W>(weight: usize, bias: usize, rows: usize, r: i32, rLast: i32, I: i32, count: i32): void {
  const panel = (wholeStripes(I) >> 2) * PAIR
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

/** Two rows of the weights as [group 4][step][row 2] f32x4, the groups `group` bytes apart. */
function packRows<W>(to: usize, group: usize, weight: usize, rows: usize, r0: i32, I: i32): void {
  let row0 = storedRow<W>(weight, unitAt(rows, r0), I)
  let row1 = storedRow<W>(weight, unitAt(rows, r0 + 1), I)
  let to1 = to + group
  let to2 = to1 + group
  let to3 = to2 + group
  const end = to + (wholeStripes(I) >> 2) * PAIR
  while (to < end) {
    v128.store(to, inUnits<W>(quad0<W>(row0)))
    v128.store(to, inUnits<W>(quad0<W>(row1)), 16)
    v128.store(to1, inUnits<W>(quad1<W>(row0)))
    v128.store(to1, inUnits<W>(quad1<W>(row1)), 16)
    v128.store(to2, inUnits<W>(quad2<W>(row0)))
    v128.store(to2, inUnits<W>(quad2<W>(row1)), 16)
    v128.store(to3, inUnits<W>(quad3<W>(row0)))
    v128.store(to3, inUnits<W>(quad3<W>(row1)), 16)
    to += PAIR << 4
    to1 += PAIR << 4
    to2 += PAIR << 4
    to3 += PAIR << 4
    row0 += 16 * sizeof<W>()
    row1 += 16 * sizeof<W>()
  }
}

/** A packed tile of tokens by the packed block of rows, group by group. */
function multiply(left: usize, height: i32, count: i32, I: i32): void {
  const panel = wholeStripes(I) >> 2
  const pairs = pairsOf(count)
  let right = packedRight()
  for (let group: usize = 0; group < 4; group++) {
    let to = accumulators() + group * GROUP_BYTES
    for (let pair = 0; pair < pairs; pair++) {
      if (TALL == SHORT || height == SHORT) walkShort(to, right, left, panel * PAIR)
      else walkTall(to, right, left, panel * PAIR)
      right += panel * PAIR
      to += (TALL * PAIR) << 4
    }
    left += panel * height
  }
}

/** One group of the dots of four tokens by two rows; `size` is the bytes of the pair's panel. */
function walkShort(to: usize, right: usize, left: usize, size: usize): void {
  let a00 = f32x4.splat(0)
  let a01 = f32x4.splat(0)
  let a10 = f32x4.splat(0)
  let a11 = f32x4.splat(0)
  let a20 = f32x4.splat(0)
  let a21 = f32x4.splat(0)
  let a30 = f32x4.splat(0)
  let a31 = f32x4.splat(0)
  const end = right + size
  while (right < end) {
    const w0 = v128.load(right)
    const w1 = v128.load(right, 16)
    let x = v128.load(left)
    a00 = madd(a00, x, w0)
    a01 = madd(a01, x, w1)
    x = v128.load(left, 16)
    a10 = madd(a10, x, w0)
    a11 = madd(a11, x, w1)
    x = v128.load(left, 32)
    a20 = madd(a20, x, w0)
    a21 = madd(a21, x, w1)
    x = v128.load(left, 48)
    a30 = madd(a30, x, w0)
    a31 = madd(a31, x, w1)
    right += 32
    left += SHORT << 4
  }
  v128.store(to, a00)
  v128.store(to, a01, 16)
  v128.store(to, a10, 32)
  v128.store(to, a11, 48)
  v128.store(to, a20, 64)
  v128.store(to, a21, 80)
  v128.store(to, a30, 96)
  v128.store(to, a31, 112)
}

/** One group of the dots of TALL tokens by two rows; `size` is the bytes of the pair's panel. */
function walkTall(to: usize, right: usize, left: usize, size: usize): void {
  let a00 = f32x4.splat(0)
  let a01 = f32x4.splat(0)
  let a10 = f32x4.splat(0)
  let a11 = f32x4.splat(0)
  let a20 = f32x4.splat(0)
  let a21 = f32x4.splat(0)
  let a30 = f32x4.splat(0)
  let a31 = f32x4.splat(0)
  let a40 = f32x4.splat(0)
  let a41 = f32x4.splat(0)
  const end = right + size
  while (right < end) {
    const w0 = v128.load(right)
    const w1 = v128.load(right, 16)
    let x = v128.load(left)
    a00 = madd(a00, x, w0)
    a01 = madd(a01, x, w1)
    x = v128.load(left, 16)
    a10 = madd(a10, x, w0)
    a11 = madd(a11, x, w1)
    x = v128.load(left, 32)
    a20 = madd(a20, x, w0)
    a21 = madd(a21, x, w1)
    x = v128.load(left, 48)
    a30 = madd(a30, x, w0)
    a31 = madd(a31, x, w1)
    x = v128.load(left, 64)
    a40 = madd(a40, x, w0)
    a41 = madd(a41, x, w1)
    right += 32
    left += TALL << 4
  }
  v128.store(to, a00)
  v128.store(to, a01, 16)
  v128.store(to, a10, 32)
  v128.store(to, a11, 48)
  v128.store(to, a20, 64)
  v128.store(to, a21, 80)
  v128.store(to, a30, 96)
  v128.store(to, a31, 112)
  v128.store(to, a40, 128)
  v128.store(to, a41, 144)
}

/** The four accumulators of one pair, added pairwise. */
function quad(at: usize): v128 {
  return f32x4.add(
    f32x4.add(v128.load(at), v128.load(at, GROUP_BYTES)),
    f32x4.add(v128.load(at, GROUP_BYTES * 2), v128.load(at, GROUP_BYTES * 3)),
  )
}

/** Combines, adds the tails and the biases of token k of the tile, and writes its rows. */
function finish(y: usize, x: usize, rows: usize, k: i32, r: i32, rLast: i32, I: i32, count: i32): void {
  let at = accumulators() + ((<usize>k) << 5)
  for (let q = 0; r + q < rLast; q += QUAD) {
    const r0 = min<i32>(r + q, count - QUAD)
    const a = quad(at)
    const b = quad(at + 16)
    at += (TALL * PAIR) << 4
    let totals = combineFour(a, b, quad(at), quad(at + 16))
    at += (TALL * PAIR) << 4
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
function scatter(y: usize, four: v128, list: usize): void {
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
