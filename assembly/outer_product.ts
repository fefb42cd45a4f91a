/**
 * C[m, n] += sum over k of A[m, k] * B[k, n], sequential in k, starting from what C holds: the matrix product behind
 * linear_input_major (m tokens, k inputs) and linear_backward_weight (m rows, k tokens).
 *
 * Tiles of sums (tile.ts) stay in registers while k runs. Both operands are first packed into panels that the
 * inner loop reads straight through: a panel of A stays in a first-level cache while it meets every panel of a block of
 * B, which stays in a second-level cache while it meets every panel of A. Between blocks of k the sums rest in C:
 * rounding is the same, since they are float32 in registers too. Edge tiles run at full size on a scratch tile; what lies
 * outside C is dropped.
 *
 * Products are rounded where L is `rounded` (tile.ts), and else as the build has them.
 *
 * B may be stored as any W. int8 is multiplied in integers, two terms at a time: C is i32, and A has rows of int16, in
 * pairs (the last one with 0 if there is an odd number of terms), which stand in a row of their own: only B has a list.
 */
import { bytes } from './float32'
import { edgeTile, packedLeft, packedRight } from './scratch'
import { lowerBytes, upperBytes } from './int16_pairs'
import { inUnits, isPaired, one, quad0, quad1, quad2, quad3, storedRow } from './storage'
import { heightOf, LINE, multiplyTile, SHORT, Short, Tall, TALLEST } from './tile'
import { rowAt, unitAt } from './units'

/** Columns of a tile. */
const WIDTH: i32 = <i32>(LINE / 4)

/** At most this many terms at a time: a panel of A is 12 KiB then. */
const DEEPEST: i32 = 512
/** A packed block of A, and one of B: this many numbers at most. */
const BLOCK_A: i32 = 524288
const BLOCK_B: i32 = 65536
/** At most this many columns at a time. */
const WIDEST: i32 = 1024
/** Bytes between two panels of B, so that they do not fall into the same places of a first-level cache. */
const GAP: usize = 64

/**
 * @param c [*, cWidth], row m is `unitAt(mList, m)`
 * @param a element (m, k) stands at `unitAt(mList, m) * aM + unitAt(kList, k) * aK`; int8: pair (m, k) at `m * aM + k`
 * @param b [*, bWidth] stored as W, row k is `unitAt(kList, k)`
 */
export function addOuterProducts<W, L = f32>(
  c: usize,
  mList: usize,
  cWidth: i32,
  a: usize,
  aM: i32,
  aK: i32,
  b: usize,
  bWidth: i32,
  kList: usize,
  M: i32,
  N: i32,
  K: i32,
): void {
  const terms = isPaired<W>() ? (K + 1) >> 1 : K
  const kBlock = evenly(terms, DEEPEST)
  const mBlock = BLOCK_A / kBlock - TALLEST
  const nBlock = min<i32>(BLOCK_B / kBlock, WIDEST) & ~(WIDTH - 1)
  for (let m = 0; m < M; m += mBlock) {
    const mSize = min<i32>(mBlock, M - m)
    for (let k = 0; k < terms; k += kBlock) {
      const kSize = min<i32>(kBlock, terms - k)
      packA<W, L>(a, aM, aK, mList, isPaired<W>() ? 0 : kList, m, k, mSize, kSize)
      for (let n = 0; n < N; n += nBlock) {
        const nSize = min<i32>(nBlock, N - n)
        if (isPaired<W>()) packPairs(b, bWidth, kList, n, k, nSize, kSize, K)
        else packB<W>(b, bWidth, kList, n, k, nSize, kSize)
        multiplyBlock<W, L>(c, cWidth, mList, m, n, mSize, nSize, kSize)
      }
    }
  }
}

/** The size of blocks of at most `most` that cut `count` into pieces of nearly one size. */
function evenly(count: i32, most: i32): i32 {
  const blocks = max<i32>((count + most - 1) / most, 1)
  return max<i32>((count + blocks - 1) / blocks, 1)
}

/** Packs rows m.. of A as [tile][k][row]; rows past the end repeat the last one and are dropped later. */
function packA<W, L>(
  a: usize,
  aM: i32,
  aK: i32,
  mList: usize,
  kList: usize,
  m: i32,
  k: i32,
  mSize: i32,
  kSize: i32,
): void {
  let to = packedLeft()
  const last = mSize - 1
  for (let tile = 0, height = 0; tile < mSize; tile += height) {
    height = heightOf<W, L>(mSize - tile)
    const a0 = rowAt(a, unitAt(mList, m + tile), aM)
    const a1 = rowAt(a, unitAt(mList, m + min<i32>(tile + 1, last)), aM)
    const a2 = rowAt(a, unitAt(mList, m + min<i32>(tile + 2, last)), aM)
    const a3 = rowAt(a, unitAt(mList, m + min<i32>(tile + 3, last)), aM)
    const a4 = rowAt(a, unitAt(mList, m + min<i32>(tile + 4, last)), aM)
    const a5 = rowAt(a, unitAt(mList, m + min<i32>(tile + 5, last)), aM)
    for (let j = 0; j < kSize; j++) {
      const at = rowAt(0, unitAt(kList, k + j), aK)
      store<f32>(to, load<f32>(a0 + at))
      store<f32>(to, load<f32>(a1 + at), 4)
      store<f32>(to, load<f32>(a2 + at), 8)
      store<f32>(to, load<f32>(a3 + at), 12)
      if (height > SHORT) {
        store<f32>(to, load<f32>(a4 + at), 16)
        if (height == TALLEST) store<f32>(to, load<f32>(a5 + at), 20)
      }
      to += bytes(height)
    }
  }
}

/** Bytes from one panel of B to the next. */
function panelOf(kSize: i32): usize {
  return bytes(kSize * WIDTH) + GAP
}

/** Packs columns n.. of B as [panel][k][column]; columns past the end are left as they are and dropped later. */
function packB<W>(b: usize, bWidth: i32, kList: usize, n: i32, k: i32, nSize: i32, kSize: i32): void {
  const panel = panelOf(kSize)
  const whole = nSize & ~(WIDTH - 1)
  const fours = kSize & ~3
  b += storedRow<W>(0, n, 1)
  // Four rows at a time: lines of the panels are written whole.
  for (let j = 0; j < fours; j += 4) {
    let row0 = storedRow<W>(b, unitAt(kList, k + j), bWidth)
    let row1 = storedRow<W>(b, unitAt(kList, k + j + 1), bWidth)
    let row2 = storedRow<W>(b, unitAt(kList, k + j + 2), bWidth)
    let row3 = storedRow<W>(b, unitAt(kList, k + j + 3), bWidth)
    const end = row0 + storedRow<W>(0, whole, 1)
    for (let to = packedRight() + bytes(j * WIDTH); row0 < end; to += panel) {
      copyLine<W>(to, row0)
      copyLine<W>(to + LINE, row1)
      copyLine<W>(to + LINE * 2, row2)
      copyLine<W>(to + LINE * 3, row3)
      row0 += WIDTH * sizeof<W>()
      row1 += WIDTH * sizeof<W>()
      row2 += WIDTH * sizeof<W>()
      row3 += WIDTH * sizeof<W>()
    }
  }
  for (let j = 0; j < kSize; j++) {
    const row = storedRow<W>(b, unitAt(kList, k + j), bWidth)
    const to = packedRight() + bytes(j * WIDTH)
    for (let column = j < fours ? whole : 0; column < nSize; column++)
      store<f32>(
        to + panel * <usize>(column / WIDTH) + bytes(column % WIDTH),
        one<W>(storedRow<W>(row, column, 1)),
      )
  }
}

/** A line of columns of a row. */
function copyLine<W>(to: usize, row: usize): void {
  v128.store(to, inUnits<W>(quad0<W>(row)))
  v128.store(to, inUnits<W>(quad1<W>(row)), 16)
  if (WIDE) {
    v128.store(to, inUnits<W>(quad2<W>(row)), 32)
    v128.store(to, inUnits<W>(quad3<W>(row)), 48)
  }
}

/** Packs columns n.. of pairs of rows of B, int8, as [tile][k][WIDTH][pair]. A row that has no other is paired with itself. */
function packPairs(
  b: usize,
  bWidth: i32,
  kList: usize,
  n: i32,
  k: i32,
  nSize: i32,
  kSize: i32,
  K: i32,
): void {
  const panel = panelOf(kSize)
  for (let j = 0; j < kSize; j++) {
    const first = (k + j) << 1
    let from0 = storedRow<i8>(b, unitAt(kList, first), bWidth) + <usize>n
    let from1 = storedRow<i8>(b, unitAt(kList, min<i32>(first + 1, K - 1)), bWidth) + <usize>n
    let to = packedRight() + LINE * <usize>j
    let left = nSize
    for (; left >= WIDTH; left -= WIDTH) {
      if (WIDE) {
        const row0 = v128.load(from0)
        const row1 = v128.load(from1)
        storePairs(to, lowerBytes(row0, row1))
        storePairs(to + 32, upperBytes(row0, row1))
      } else storePairs(to, lowerBytes(v128.load64_zero(from0), v128.load64_zero(from1)))
      from0 += WIDTH
      from1 += WIDTH
      to += panel
    }
    for (; left > 0; left--) {
      store<i16>(to, load<i8>(from0++))
      store<i16>(to, load<i8>(from1++), 2)
      to += 4
    }
  }
}

/** Eight pairs of bytes as int16. */
export function storePairs(to: usize, pairs: v128): void {
  const lower = i16x8.extend_low_i8x16_s(pairs)
  v128.store(to, i16x8.extend_high_i8x16_s(pairs), 16)
  v128.store(to, lower)
}

/** All tiles of the packed block of A by the packed block of B. */
function multiplyBlock<W, L>(
  c: usize,
  cWidth: i32,
  mList: usize,
  m: i32,
  n: i32,
  mSize: i32,
  nSize: i32,
  kSize: i32,
): void {
  const last = mSize - 1
  const size = LINE * <usize>kSize
  let left = packedLeft()
  for (let tile = 0, height = 0; tile < mSize; tile += height) {
    height = heightOf<W, L>(mSize - tile)
    const rows = min<i32>(height, mSize - tile)
    let row0 = rowAt(c, unitAt(mList, m + tile), cWidth) + bytes(n)
    let row1 = rowAt(c, unitAt(mList, m + min<i32>(tile + 1, last)), cWidth) + bytes(n)
    let row2 = rowAt(c, unitAt(mList, m + min<i32>(tile + 2, last)), cWidth) + bytes(n)
    let row3 = rowAt(c, unitAt(mList, m + min<i32>(tile + 3, last)), cWidth) + bytes(n)
    let row4 = rowAt(c, unitAt(mList, m + min<i32>(tile + 4, last)), cWidth) + bytes(n)
    let row5 = rowAt(c, unitAt(mList, m + min<i32>(tile + 5, last)), cWidth) + bytes(n)
    let right = packedRight()
    for (let column = 0; column < nSize; column += WIDTH) {
      const columns = min<i32>(WIDTH, nSize - column)
      if (columns == WIDTH && rows == height) {
        if (height > SHORT) multiplyTile<W, L, Tall>(left, right, size, row0, row1, row2, row3, row4, row5)
        else multiplyTile<W, L, Short>(left, right, size, row0, row1, row2, row3)
      } else {
        const at = bytes(n + column)
        for (let i = 0; i < rows; i++)
          memory.copy(
            edgeTile() + bytes(i * WIDTH),
            rowAt(c, unitAt(mList, m + tile + i), cWidth) + at,
            bytes(columns),
          )
        multiplyEdge<W, L>(left, right, size, height)
        for (let i = 0; i < rows; i++)
          memory.copy(
            rowAt(c, unitAt(mList, m + tile + i), cWidth) + at,
            edgeTile() + bytes(i * WIDTH),
            bytes(columns),
          )
      }
      row0 += LINE
      row1 += LINE
      row2 += LINE
      row3 += LINE
      row4 += LINE
      row5 += LINE
      right += panelOf(kSize)
    }
    left += bytes(kSize * height)
  }
}

/** A tile of the given height on the scratch tile. */
function multiplyEdge<W, L>(left: usize, right: usize, size: usize, height: i32): void {
  const to = edgeTile()
  const to3 = to + LINE * 3
  if (height > SHORT)
    multiplyTile<W, L, Tall>(left, right, size, to, to + LINE, to + LINE * 2, to3, to3 + LINE, to3 + LINE * 2)
  else multiplyTile<W, L, Short>(left, right, size, to, to + LINE, to + LINE * 2, to3)
}
