/**
 * C[m, n] += sum over k of A[m, k] * B[k, n], sequential in k, starting from what C holds: the matrix product behind
 * linear_input_major (m tokens, k inputs) and linear_backward_weight (m rows, k tokens).
 *
 * Tiles of sums, eight columns wide, stay in registers while k runs. Both operands are first packed into panels that the
 * inner loop reads straight through: a panel of A stays in a first-level cache while it meets every panel of a block of
 * B, which stays in a second-level cache while it meets every panel of A. Between blocks of k the sums rest in C:
 * rounding is the same, since they are float32 in registers too. Edge tiles run at full size on a scratch tile; what lies
 * outside C is dropped.
 *
 * B may be stored as any W. int8 is multiplied in integers, two terms at a time: C is i32, and A has rows of int16, in
 * pairs (the last one with 0 if there is an odd number of terms), which stand in a row of their own: only B has a list.
 */
import { bytes, madd } from './float32'
import { edgeTile, packedLeft, packedRight } from './scratch'
import { inUnits, isPaired, one, quad0, quad1, storedRow } from './storage'
import { lowerPairs, multiplyPairs, upperPairs } from './int16_pairs'
import { rowAt, unitAt } from './units'

/** Rows of a short tile, and of a tall one of fused products. */
const SHORT: i32 = 4
const TALLEST: i32 = 6
/** Columns of a tile. */
const WIDTH: i32 = 8

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
export function addOuterProducts<W>(
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
      packA<W>(a, aM, aK, mList, isPaired<W>() ? 0 : kList, m, k, mSize, kSize)
      for (let n = 0; n < N; n += nBlock) {
        const nSize = min<i32>(nBlock, N - n)
        if (isPaired<W>()) packPairs(b, bWidth, kList, n, k, nSize, kSize, K)
        else packB<W>(b, bWidth, kList, n, k, nSize, kSize)
        multiplyBlock<W>(c, cWidth, mList, m, n, mSize, nSize, kSize)
      }
    }
  }
}

/** The size of blocks of at most `most` that cut `count` into pieces of nearly one size. */
function evenly(count: i32, most: i32): i32 {
  const blocks = max<i32>((count + most - 1) / most, 1)
  return max<i32>((count + blocks - 1) / blocks, 1)
}

/**
 * Rows of a tall tile: its sums, two columns and a factor fit the 15 registers engines have on x86, and a product unless
 * it is fused.
 */
function tall<W>(): i32 {
  return FUSES && !isPaired<W>() ? TALLEST : 5
}

/** The rows of the next tile where `left` are left: short ones first, until tall ones fit. */
function heightOf<W>(left: i32): i32 {
  const even = tall<W>() == TALLEST ? left & 1 : 0
  return (left + even) % tall<W>() ? SHORT : tall<W>()
}

/** Packs rows m.. of A as [tile][k][row]; rows past the end repeat the last one and are dropped later. */
function packA<W>(
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
    height = heightOf<W>(mSize - tile)
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
      v128.store(to, inUnits<W>(quad0<W>(row0)))
      v128.store(to, inUnits<W>(quad1<W>(row0)), 16)
      v128.store(to, inUnits<W>(quad0<W>(row1)), 32)
      v128.store(to, inUnits<W>(quad1<W>(row1)), 48)
      v128.store(to, inUnits<W>(quad0<W>(row2)), 64)
      v128.store(to, inUnits<W>(quad1<W>(row2)), 80)
      v128.store(to, inUnits<W>(quad0<W>(row3)), 96)
      v128.store(to, inUnits<W>(quad1<W>(row3)), 112)
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

/** Packs columns n.. of pairs of rows of B, int8, as [tile][k][8][pair]. A row that has no other is paired with itself. */
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
    let to = packedRight() + ((<usize>j) << 5)
    let left = nSize
    for (; left >= WIDTH; left -= WIDTH) {
      const row0 = v128.load8x8_s(from0)
      const row1 = v128.load8x8_s(from1)
      v128.store(to, lowerPairs(row0, row1))
      v128.store(to, upperPairs(row0, row1), 16)
      from0 += 8
      from1 += 8
      to += panel
    }
    for (; left > 0; left--) {
      store<i16>(to, load<i8>(from0++))
      store<i16>(to, load<i8>(from1++), 2)
      to += 4
    }
  }
}

/** All tiles of the packed block of A by the packed block of B. */
function multiplyBlock<W>(
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
  let left = packedLeft()
  for (let tile = 0, height = 0; tile < mSize; tile += height) {
    height = heightOf<W>(mSize - tile)
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
        if (height > SHORT) multiplyTall<W>(left, right, kSize, row0, row1, row2, row3, row4, row5)
        else multiplyShort<W>(left, right, kSize, row0, row1, row2, row3)
      } else {
        const at = bytes(n + column)
        for (let i = 0; i < rows; i++)
          memory.copy(
            edgeTile() + bytes(i * WIDTH),
            rowAt(c, unitAt(mList, m + tile + i), cWidth) + at,
            bytes(columns),
          )
        multiplyEdge<W>(left, right, kSize, height)
        for (let i = 0; i < rows; i++)
          memory.copy(
            rowAt(c, unitAt(mList, m + tile + i), cWidth) + at,
            edgeTile() + bytes(i * WIDTH),
            bytes(columns),
          )
      }
      row0 += 32
      row1 += 32
      row2 += 32
      row3 += 32
      row4 += 32
      row5 += 32
      right += panelOf(kSize)
    }
    left += bytes(kSize * height)
  }
}

/** A tile of the given height on the scratch tile. */
function multiplyEdge<W>(a: usize, b: usize, kSize: i32, height: i32): void {
  const tile = edgeTile()
  if (height > SHORT)
    multiplyTall<W>(a, b, kSize, tile, tile + 32, tile + 64, tile + 96, tile + 128, tile + 160)
  else multiplyShort<W>(a, b, kSize, tile, tile + 32, tile + 64, tile + 96)
}

/** sums + factor * b; of int8, in integers. */
function accumulate<W>(sums: v128, factor: v128, b: v128): v128 {
  return isPaired<W>() ? multiplyPairs(sums, factor, b) : madd(sums, factor, b)
}

/** Four rows of C by eight columns, over one block of k. */
function multiplyShort<W>(
  a: usize,
  b: usize,
  kSize: i32,
  row0: usize,
  row1: usize,
  row2: usize,
  row3: usize,
): void {
  let c00 = v128.load(row0)
  let c01 = v128.load(row0, 16)
  let c10 = v128.load(row1)
  let c11 = v128.load(row1, 16)
  let c20 = v128.load(row2)
  let c21 = v128.load(row2, 16)
  let c30 = v128.load(row3)
  let c31 = v128.load(row3, 16)
  const end = a + bytes(kSize * SHORT)
  while (a < end) {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    let factor = v128.load32_splat(a)
    c00 = accumulate<W>(c00, factor, b0)
    c01 = accumulate<W>(c01, factor, b1)
    factor = v128.load32_splat(a, 4)
    c10 = accumulate<W>(c10, factor, b0)
    c11 = accumulate<W>(c11, factor, b1)
    factor = v128.load32_splat(a, 8)
    c20 = accumulate<W>(c20, factor, b0)
    c21 = accumulate<W>(c21, factor, b1)
    factor = v128.load32_splat(a, 12)
    c30 = accumulate<W>(c30, factor, b0)
    c31 = accumulate<W>(c31, factor, b1)
    a += bytes(SHORT)
    b += 32
  }
  v128.store(row0, c00)
  v128.store(row0, c01, 16)
  v128.store(row1, c10)
  v128.store(row1, c11, 16)
  v128.store(row2, c20)
  v128.store(row2, c21, 16)
  v128.store(row3, c30)
  v128.store(row3, c31, 16)
}

/** Five or six rows of C by eight columns, over one block of k. */
function multiplyTall<W>(
  a: usize,
  b: usize,
  kSize: i32,
  row0: usize,
  row1: usize,
  row2: usize,
  row3: usize,
  row4: usize,
  row5: usize,
): void {
  let c00 = v128.load(row0)
  let c01 = v128.load(row0, 16)
  let c10 = v128.load(row1)
  let c11 = v128.load(row1, 16)
  let c20 = v128.load(row2)
  let c21 = v128.load(row2, 16)
  let c30 = v128.load(row3)
  let c31 = v128.load(row3, 16)
  let c40 = v128.load(row4)
  let c41 = v128.load(row4, 16)
  let c50 = tall<W>() == TALLEST ? v128.load(row5) : c40
  let c51 = tall<W>() == TALLEST ? v128.load(row5, 16) : c41
  const end = a + bytes(kSize * tall<W>())
  while (a < end) {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    let factor = v128.load32_splat(a)
    c00 = accumulate<W>(c00, factor, b0)
    c01 = accumulate<W>(c01, factor, b1)
    factor = v128.load32_splat(a, 4)
    c10 = accumulate<W>(c10, factor, b0)
    c11 = accumulate<W>(c11, factor, b1)
    factor = v128.load32_splat(a, 8)
    c20 = accumulate<W>(c20, factor, b0)
    c21 = accumulate<W>(c21, factor, b1)
    factor = v128.load32_splat(a, 12)
    c30 = accumulate<W>(c30, factor, b0)
    c31 = accumulate<W>(c31, factor, b1)
    factor = v128.load32_splat(a, 16)
    c40 = accumulate<W>(c40, factor, b0)
    c41 = accumulate<W>(c41, factor, b1)
    if (tall<W>() == TALLEST) {
      factor = v128.load32_splat(a, 20)
      c50 = accumulate<W>(c50, factor, b0)
      c51 = accumulate<W>(c51, factor, b1)
    }
    a += bytes(tall<W>())
    b += 32
  }
  v128.store(row0, c00)
  v128.store(row0, c01, 16)
  v128.store(row1, c10)
  v128.store(row1, c11, 16)
  v128.store(row2, c20)
  v128.store(row2, c21, 16)
  v128.store(row3, c30)
  v128.store(row3, c31, 16)
  v128.store(row4, c40)
  v128.store(row4, c41, 16)
  if (tall<W>() == TALLEST) {
    v128.store(row5, c50)
    v128.store(row5, c51, 16)
  }
}
