/**
 * linear_i8 for several tokens: tiles of tokens by two rows, in registers (tile.ts). The sums are exact, so each is a vector of
 * partial sums, added up at the end. Rounded tokens and rows are packed as int16 and filled up with zeros to whole vectors.
 */
import { addLanes } from './byte_rows'
import { bytes } from './float32'
import { scatter } from './linear_tile'
import { accumulators, packedLeft, packedRight } from './scratch'
import { storedRow } from './storage'
import { heightOf, LINE, multiplyTile, SHORT, Short, Tall, VECTOR } from './tile'
import { rowAt, unitAt } from './units'

/** From this many tokens packing costs less than it saves. */
const LEAST_TOKENS: i32 = WIDE ? 4 : 12
/** Rows are finished four at a time. */
const QUAD: i32 = 4
/** Tokens of a tile, at most. */
const TALL: i32 = 5

/** A packed block of rows: this many numbers at most, and this many rows. */
const BLOCK_ROWS: i32 = 131072
const MOST_ROWS: i32 = 48
/** Four rows of this length are a block. */
const LONGEST_ROW: i32 = 32768

/** Bytes of the accumulators of a pair of rows, [token TALL][row 2] vectors. */
const PAIR_BYTES: usize = LINE * TALL

/** Whether `multiplyTiled` takes this shape. */
export function isTiled(T: i32, I: i32, count: i32): bool {
  return T >= LEAST_TOKENS && count >= QUAD && I > 0 && I <= LONGEST_ROW
}

/** Bytes of a packed row. */
function rowBytes(I: i32): usize {
  return (((<usize>I) << 1) + (VECTOR - 1)) & ~(VECTOR - 1)
}

/** `tokens` rounded tokens by `count` rows, or those of a list. */
export function multiplyTiled(
  y: usize, // [tokens, O]
  q: usize, // [tokens, I] i16
  steps: usize, // [tokens]
  weight: usize, // [O, I] i8
  scales: usize, // [O]
  bias: usize, // [O] or null
  rows: usize, // [count] or null
  tokens: i32,
  O: i32,
  I: i32,
  count: i32,
): void {
  packTokens(q, tokens, I)
  const block = min<i32>(MOST_ROWS, (BLOCK_ROWS / max<i32>(<i32>(rowBytes(I) >> 1), 1)) & ~(QUAD - 1))
  for (let r = 0; r < count; r += block) {
    const last = min<i32>(r + block, count)
    const size = packRows(weight, rows, r, last, I, count)
    let left = packedLeft()
    for (let t = 0, height = 0; t < tokens; t += height) {
      height = heightOf<i8, v128>(tokens - t)
      const t0 = min<i32>(t, tokens - height)
      multiply(left, height, size, rowBytes(I) * 2)
      for (let k = 0; k < height; k++)
        finish(rowAt(y, t0 + k, O), steps + bytes(t0 + k), scales, bias, rows, k, r, last, count)
      left += rowBytes(I) * <usize>height
    }
  }
}

/** q as [tile][step][token] vectors. */
function packTokens(q: usize, tokens: i32, I: i32): void {
  let tile = packedLeft()
  for (let t = 0, height = 0; t < tokens; t += height) {
    height = heightOf<i8, v128>(tokens - t)
    const t0 = min<i32>(t, tokens - height)
    for (let k = 0; k < height; k++)
      packRow<i16>(tile + VECTOR * <usize>k, VECTOR * <usize>height, storedRow<i16>(q, t0 + k, I), I)
    tile += rowBytes(I) * <usize>height
  }
}

/** Rows r.. of the weights as [pair][step][row 2] vectors, in fours; returns their bytes. */
function packRows(weight: usize, rows: usize, r: i32, last: i32, I: i32, count: i32): usize {
  let to = packedRight()
  for (; r < last; r += QUAD) {
    const r0 = min<i32>(r, count - QUAD)
    for (let k = 0; k < QUAD; k += 2) {
      packRow<i8>(to, LINE, storedRow<i8>(weight, unitAt(rows, r0 + k), I), I)
      packRow<i8>(to + VECTOR, LINE, storedRow<i8>(weight, unitAt(rows, r0 + k + 1), I), I)
      to += rowBytes(I) * 2
    }
  }
  return to - packedRight()
}

/** A row of numbers as int16: a vector each `step` bytes, the last one filled up with zeros. */
function packRow<W>(to: usize, step: usize, row: usize, I: i32): void {
  const lanes = <i32>(VECTOR >> 1)
  const end = row + storedRow<W>(0, I, 1)
  for (
    const whole = row + storedRow<W>(0, I & ~(lanes - 1), 1);
    row < whole;
    row += storedRow<W>(0, lanes, 1)
  ) {
    const lower = sizeof<W>() == 1 ? v128.load8x8_s(row) : v128.load(row)
    if (WIDE) v128.store(to, sizeof<W>() == 1 ? v128.load8x8_s(row, 8) : v128.load(row, 16), 16)
    v128.store(to, lower)
    to += step
  }
  if (row == end) return
  memory.fill(to, 0, VECTOR)
  for (; row < end; row += sizeof<W>(), to += 2) store<i16>(to, <i16>load<W>(row))
}

/** A packed tile of tokens by the packed block of rows, of `size` bytes; `panel` bytes are a pair of rows. */
function multiply(left: usize, height: i32, size: usize, panel: usize): void {
  let to = accumulators()
  let right = packedRight()
  for (const end = right + size; right < end; right += panel) {
    if (height == SHORT) multiplyTile<i8, v128, Short>(left, right, panel, to)
    else multiplyTile<i8, v128, Tall>(left, right, panel, to)
    to += PAIR_BYTES
  }
}

/** A sum as four partial sums. */
function quad(at: usize): v128 {
  return WIDE ? i32x4.add(v128.load(at), v128.load(at, 16)) : v128.load(at)
}

/** The sums of token k of the tile as numbers of its rows. */
function finish(
  y: usize,
  step: usize,
  scales: usize,
  bias: usize,
  rows: usize,
  k: i32,
  r: i32,
  last: i32,
  count: i32,
): void {
  const steps = v128.load32_splat(step)
  let at = accumulators() + LINE * <usize>k
  for (; r < last; r += QUAD) {
    const r0 = min<i32>(r, count - QUAD)
    const next = at + PAIR_BYTES
    const sums = addLanes(quad(at), quad(at + VECTOR), quad(next), quad(next + VECTOR))
    const factors = f32x4.mul(steps, fourOf(scales, rows, r0))
    const biases = bias ? fourOf(bias, rows, r0) : f32x4.splat(0)
    const four = f32x4.add(f32x4.mul(factors, f32x4.convert_i32x4_s(sums)), biases)
    if (rows) scatter(y, four, rows + bytes(r0))
    else v128.store(y + bytes(r0), four)
    at = next + PAIR_BYTES
  }
}

/** One number of each of four chosen rows. */
function fourOf(numbers: usize, rows: usize, r0: i32): v128 {
  if (!rows) return v128.load(numbers + bytes(r0))
  let four = v128.load32_zero(numbers + bytes(unitAt(rows, r0)))
  four = v128.load32_lane(numbers + bytes(unitAt(rows, r0 + 1)), four, 1)
  four = v128.load32_lane(numbers + bytes(unitAt(rows, r0 + 2)), four, 2)
  return v128.load32_lane(numbers + bytes(unitAt(rows, r0 + 3)), four, 3)
}
