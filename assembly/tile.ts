/**
 * A tile of a matrix product, in registers: the sums of four to six left rows by a line of right numbers. Both operands are
 * packed in the order of the steps.
 *
 * There are two kinds of product. In dots (L is v128) a step meets a vector of each left row with a vector of each of two
 * right rows, lane by lane, and sums begin at 0. In outer products (L is f32: one number, a pair of int16 or four bytes) a step
 * meets a number of each left row with a line of columns, and sums begin with what is there; those of a block of int4 begin at
 * 0, and what they make is added to what is there.
 *
 * The wide build (WIDE is a constant of each build, asconfig.json) is for engines that join two neighbouring vectors of
 * 16 bytes into one of 32. There a line has four vectors: of dots, two neighbours for each right row; of outer products,
 * twice as many columns. Every operation is then one of two neighbours, and so are the stores at the end, at which such an
 * engine begins to look. Sums are added in the same order in both builds.
 *
 * Of two neighbouring loads that widen (load8x8_s and the like), the lower one has to come first in the code: V8 13.6 joins
 * them at the address of whichever comes first.
 */
import { madd } from './float32'
import { multiplyPairs } from './int16_pairs'
import { addByteProducts, fourTerms, wholeSums } from './int4'
import { isOpened, isPaired } from './storage'

/** Bytes of a vector. */
export const VECTOR: usize = WIDE ? 32 : 16
/** Bytes of a line: what a step reads of the right operand, and what a left row has of sums. */
export const LINE: usize = VECTOR * 2

/** Left rows of a short tile, and of the tallest one. */
export const SHORT: i32 = 4
export const TALLEST: i32 = 6

/** Heights of tiles. One of the compiler's own types has to stand for each. */
export type Short = i8
export type Tall = i16

/** A number of the left operand whose products are rounded in every build. One of the compiler's own types has to stand for it. */
export type rounded = i32

/** Whether products of L are rounded in every build. */
function isRounded<L>(): bool {
  return isInteger<L>()
}

/**
 * Left rows of a tall tile. Ten accumulators, three operands and a product fit the 15 registers engines have on x86. Fused
 * products need no register: then six rows fit, and of dots four do as much arithmetic, and engines unroll the shorter loop
 * further.
 */
export function tall<W, L>(): i32 {
  if (!FUSES || isPaired<W>() || isOpened<W>() || isRounded<L>()) return 5
  return isVector<L>() ? SHORT : TALLEST
}

/** The rows of the next tile where `left` are left: short ones first, until tall ones fit. */
export function heightOf<W, L>(left: i32): i32 {
  const even = tall<W, L>() == TALLEST ? left & 1 : 0
  return (left + even) % tall<W, L>() ? SHORT : tall<W, L>()
}

/** Bytes a step reads of each left row. */
export function leftBytes<L>(): usize {
  return isVector<L>() ? VECTOR : 4
}

/** Whether sums begin at 0, and their rows follow each other; else sums begin with what is there. */
function isAlone<W, L>(): bool {
  return isVector<L>() || isOpened<W>()
}

/** sum + a * b; of int16 and of bytes, in integers. */
function accumulate<W, L>(sum: v128, a: v128, b: v128): v128 {
  if (isOpened<W>()) return addByteProducts(sum, a, b)
  if (isRounded<L>()) return f32x4.add(sum, f32x4.mul(a, b))
  return isPaired<W>() ? multiplyPairs(sum, a, b) : madd(sum, a, b)
}

/** Rows of a tile of height H. */
export function rowsOf<W, L, H>(): i32 {
  return sizeof<H>() == sizeof<Short>() ? SHORT : tall<W, L>()
}

/**
 * A tile. These functions are methods because only methods can be told to be inlined wherever they are used: engines join
 * vectors within a function.
 */
export class Tile {
  /**
   * A tile: `size` bytes of the right operand against the left one. The sums of outer products stand at `row0` to `row5`, those
   * of dots in lines from `row0` on.
   */
  @inline
  static multiply<W, L, H>(
    left: usize,
    right: usize,
    size: usize,
    row0: usize,
    row1: usize = 0,
    row2: usize = 0,
    row3: usize = 0,
    row4: usize = 0,
    row5: usize = 0,
  ): void {
    if (isAlone<W, L>()) {
      row1 = row0 + LINE
      row2 = row1 + LINE
      row3 = row2 + LINE
      row4 = row3 + LINE
      row5 = row4 + LINE
    }
    const height = rowsOf<W, L, H>()
    let a0 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row0)
    let a1 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row0, 16)
    let a2 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row0, 32)
    let a3 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row0, 48)
    let b0 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row1)
    let b1 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row1, 16)
    let b2 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row1, 32)
    let b3 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row1, 48)
    let c0 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row2)
    let c1 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row2, 16)
    let c2 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row2, 32)
    let c3 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row2, 48)
    let d0 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row3)
    let d1 = isAlone<W, L>() ? f32x4.splat(0) : v128.load(row3, 16)
    let d2 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row3, 32)
    let d3 = !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row3, 48)
    let e0 = height <= 4 || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row4)
    let e1 = height <= 4 || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row4, 16)
    let e2 = height <= 4 || !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row4, 32)
    let e3 = height <= 4 || !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row4, 48)
    let f0 = height <= 5 || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row5)
    let f1 = height <= 5 || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row5, 16)
    let f2 = height <= 5 || !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row5, 32)
    let f3 = height <= 5 || !WIDE || isAlone<W, L>() ? f32x4.splat(0) : v128.load(row5, 48)
    for (const end = right + size; right < end; right += LINE) {
      const w0 = v128.load(right)
      const w1 = v128.load(right, 16)
      const w2 = WIDE ? v128.load(right, 32) : w0
      const w3 = WIDE ? v128.load(right, 48) : w1
      let x = isVector<L>() ? v128.load(left) : v128.load32_splat(left)
      let z = WIDE && isVector<L>() ? v128.load(left, 16) : x
      a0 = accumulate<W, L>(a0, x, w0)
      a1 = accumulate<W, L>(a1, z, w1)
      if (WIDE) {
        a2 = accumulate<W, L>(a2, x, w2)
        a3 = accumulate<W, L>(a3, z, w3)
      }
      x = isVector<L>() ? v128.load(left, VECTOR) : v128.load32_splat(left, 4)
      z = WIDE && isVector<L>() ? v128.load(left, VECTOR + 16) : x
      b0 = accumulate<W, L>(b0, x, w0)
      b1 = accumulate<W, L>(b1, z, w1)
      if (WIDE) {
        b2 = accumulate<W, L>(b2, x, w2)
        b3 = accumulate<W, L>(b3, z, w3)
      }
      x = isVector<L>() ? v128.load(left, VECTOR * 2) : v128.load32_splat(left, 8)
      z = WIDE && isVector<L>() ? v128.load(left, VECTOR * 2 + 16) : x
      c0 = accumulate<W, L>(c0, x, w0)
      c1 = accumulate<W, L>(c1, z, w1)
      if (WIDE) {
        c2 = accumulate<W, L>(c2, x, w2)
        c3 = accumulate<W, L>(c3, z, w3)
      }
      x = isVector<L>() ? v128.load(left, VECTOR * 3) : v128.load32_splat(left, 12)
      z = WIDE && isVector<L>() ? v128.load(left, VECTOR * 3 + 16) : x
      d0 = accumulate<W, L>(d0, x, w0)
      d1 = accumulate<W, L>(d1, z, w1)
      if (WIDE) {
        d2 = accumulate<W, L>(d2, x, w2)
        d3 = accumulate<W, L>(d3, z, w3)
      }
      if (height > 4) {
        x = isVector<L>() ? v128.load(left, VECTOR * 4) : v128.load32_splat(left, 16)
        z = WIDE && isVector<L>() ? v128.load(left, VECTOR * 4 + 16) : x
        e0 = accumulate<W, L>(e0, x, w0)
        e1 = accumulate<W, L>(e1, z, w1)
        if (WIDE) {
          e2 = accumulate<W, L>(e2, x, w2)
          e3 = accumulate<W, L>(e3, z, w3)
        }
      }
      if (height > 5) {
        x = isVector<L>() ? v128.load(left, VECTOR * 5) : v128.load32_splat(left, 20)
        z = WIDE && isVector<L>() ? v128.load(left, VECTOR * 5 + 16) : x
        f0 = accumulate<W, L>(f0, x, w0)
        f1 = accumulate<W, L>(f1, z, w1)
        if (WIDE) {
          f2 = accumulate<W, L>(f2, x, w2)
          f3 = accumulate<W, L>(f3, z, w3)
        }
      }
      left += leftBytes<L>() * <usize>height
    }
    const sums = left + ((<usize>height) << 2)
    Tile.write<W>(row0, a0, a1, a2, a3, right, left, sums)
    Tile.write<W>(row1, b0, b1, b2, b3, right, left + 4, sums + 4)
    Tile.write<W>(row2, c0, c1, c2, c3, right, left + 8, sums + 8)
    Tile.write<W>(row3, d0, d1, d2, d3, right, left + 12, sums + 12)
    if (height > 4) Tile.write<W>(row4, e0, e1, e2, e3, right, left + 16, sums + 16)
    if (height > 5) Tile.write<W>(row5, f0, f1, f2, f3, right, left + 20, sums + 20)
  }

  /**
   * Writes the sums of a row. Those of a block of int4 are added to what is there, as terms: then scales and minima are the next
   * lines of the right operand, and the steps and sums of all left rows are next in the left one.
   */
  @inline
  private static write<W>(
    to: usize,
    s0: v128,
    s1: v128,
    s2: v128,
    s3: v128,
    scales: usize,
    steps: usize,
    sums: usize,
  ): void {
    if (isOpened<W>()) {
      const step = v128.load32_splat(steps)
      const sum = v128.load32_splat(sums)
      s0 = fourTerms(v128.load(scales), step, wholeSums(s0), v128.load(scales, LINE), sum)
      s1 = fourTerms(v128.load(scales, 16), step, wholeSums(s1), v128.load(scales, LINE + 16), sum)
      s0 = f32x4.add(v128.load(to), s0)
      s1 = f32x4.add(v128.load(to, 16), s1)
      if (WIDE) {
        s2 = fourTerms(v128.load(scales, 32), step, wholeSums(s2), v128.load(scales, LINE + 32), sum)
        s3 = fourTerms(v128.load(scales, 48), step, wholeSums(s3), v128.load(scales, LINE + 48), sum)
        s2 = f32x4.add(v128.load(to, 32), s2)
        s3 = f32x4.add(v128.load(to, 48), s3)
      }
    }
    storeLine(to, s0, s1, s2, s3)
  }
}

/** `Tile.multiply` as a function of its own. */
export function multiplyTile<W, L, H>(
  left: usize,
  right: usize,
  size: usize,
  row0: usize,
  row1: usize = 0,
  row2: usize = 0,
  row3: usize = 0,
  row4: usize = 0,
  row5: usize = 0,
): void {
  Tile.multiply<W, L, H>(left, right, size, row0, row1, row2, row3, row4, row5)
}

/** Stores the sums of a row, the upper half of a vector first: an engine that joins halves then needs one store for both. */
export function storeLine(to: usize, s0: v128, s1: v128, s2: v128, s3: v128): void {
  v128.store(to, s1, 16)
  v128.store(to, s0)
  if (WIDE) {
    v128.store(to, s3, 48)
    v128.store(to, s2, 32)
  }
}
