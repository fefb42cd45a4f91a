/**
 * C[m, n] += sum over k of A[m, k] * B[k, n], sequential in k, starting from what C holds: the matrix product behind
 * linear_input_major (m tokens, k inputs) and linear_backward_weight (m rows, k tokens).
 *
 * Tiles of 4 x 8 sums stay in registers while k runs; both operands are first packed into panels that the inner loop
 * reads straight through. Between blocks of k the sums rest in C: rounding is the same, since they are float32 in
 * registers too. Edge tiles run at full size on a scratch tile; what lies outside C is dropped.
 *
 * B may be stored as any W. int8 is multiplied in integers, two terms at a time: C is i32, and A has rows of int16, in
 * pairs (the last one with 0 if there is an odd number of terms), which stand in a row of their own: only B has a list.
 */
import { bytes, madd } from './float32'
import { edgeTile, packedLeft, packedRight } from './scratch'
import { inUnits, isPaired, one, quad0, quad1, storedRow } from './storage'
import { lowerPairs, multiplyPairs, upperPairs } from './int16_pairs'
import { rowAt, unitAt } from './units'

const TILE_M: i32 = 4
const TILE_N: i32 = 8

/** Blocks: a panel of A is 128 KiB, one of B 128 KiB; together they stay in a 512 KiB second-level cache. */
const BLOCK_M: i32 = 128
const BLOCK_N: i32 = 128
const BLOCK_K: i32 = 256

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
  for (let k = 0; k < terms; k += BLOCK_K) {
    const kSize = min<i32>(BLOCK_K, terms - k)
    for (let m = 0; m < M; m += BLOCK_M) {
      const mSize = min<i32>(BLOCK_M, M - m)
      packA(a, aM, aK, mList, isPaired<W>() ? 0 : kList, m, k, mSize, kSize)
      for (let n = 0; n < N; n += BLOCK_N) {
        const nSize = min<i32>(BLOCK_N, N - n)
        if (isPaired<W>()) packPairs(b, bWidth, kList, n, k, nSize, kSize, K)
        else packB<W>(b, bWidth, kList, n, k, nSize, kSize)
        multiplyBlock<W>(c, cWidth, mList, m, n, mSize, nSize, kSize)
      }
    }
  }
}

/** Packs rows m.. of A as [tile][k][4]; rows past the end repeat the last one and are dropped later. */
function packA(
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
  for (let tile = 0; tile < mSize; tile += TILE_M) {
    const a0 = rowAt(a, unitAt(mList, m + tile), aM)
    const a1 = rowAt(a, unitAt(mList, m + min<i32>(tile + 1, mSize - 1)), aM)
    const a2 = rowAt(a, unitAt(mList, m + min<i32>(tile + 2, mSize - 1)), aM)
    const a3 = rowAt(a, unitAt(mList, m + min<i32>(tile + 3, mSize - 1)), aM)
    for (let j = 0; j < kSize; j++) {
      const at = rowAt(0, unitAt(kList, k + j), aK)
      store<f32>(to, load<f32>(a0 + at))
      store<f32>(to, load<f32>(a1 + at), 4)
      store<f32>(to, load<f32>(a2 + at), 8)
      store<f32>(to, load<f32>(a3 + at), 12)
      to += 16
    }
  }
}

/** Packs columns n.. of B as [tile][k][8]; columns past the end are left as they are and dropped later. */
function packB<W>(b: usize, bWidth: i32, kList: usize, n: i32, k: i32, nSize: i32, kSize: i32): void {
  const panel = (<usize>kSize) << 5
  for (let j = 0; j < kSize; j++) {
    let from = storedRow<W>(b, unitAt(kList, k + j), bWidth) + storedRow<W>(0, n, 1)
    let to = packedRight() + ((<usize>j) << 5)
    let left = nSize
    for (; left >= TILE_N; left -= TILE_N) {
      v128.store(to, inUnits<W>(quad0<W>(from)))
      v128.store(to, inUnits<W>(quad1<W>(from)), 16)
      from += 8 * sizeof<W>()
      to += panel
    }
    for (; left > 0; left--) {
      store<f32>(to, one<W>(from))
      from += sizeof<W>()
      to += 4
    }
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
  const panel = (<usize>kSize) << 5
  for (let j = 0; j < kSize; j++) {
    const first = (k + j) << 1
    let from0 = storedRow<i8>(b, unitAt(kList, first), bWidth) + <usize>n
    let from1 = storedRow<i8>(b, unitAt(kList, min<i32>(first + 1, K - 1)), bWidth) + <usize>n
    let to = packedRight() + ((<usize>j) << 5)
    let left = nSize
    for (; left >= TILE_N; left -= TILE_N) {
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
  for (let right = 0; right < nSize; right += TILE_N) {
    const columns = min<i32>(TILE_N, nSize - right)
    const bPanel = packedRight() + ((<usize>right * <usize>kSize) << 2)
    for (let down = 0; down < mSize; down += TILE_M) {
      const rows = min<i32>(TILE_M, mSize - down)
      const aPanel = packedLeft() + ((<usize>down * <usize>kSize) << 2)
      const at = bytes(n + right)
      if (columns == TILE_N && rows == TILE_M) {
        multiplyTile<W>(
          aPanel,
          bPanel,
          kSize,
          rowAt(c, unitAt(mList, m + down), cWidth) + at,
          rowAt(c, unitAt(mList, m + down + 1), cWidth) + at,
          rowAt(c, unitAt(mList, m + down + 2), cWidth) + at,
          rowAt(c, unitAt(mList, m + down + 3), cWidth) + at,
        )
      } else {
        const tile = edgeTile()
        for (let i = 0; i < rows; i++)
          memory.copy(
            tile + ((<usize>i) << 5),
            rowAt(c, unitAt(mList, m + down + i), cWidth) + at,
            bytes(columns),
          )
        multiplyTile<W>(aPanel, bPanel, kSize, tile, tile + 32, tile + 64, tile + 96)
        for (let i = 0; i < rows; i++)
          memory.copy(
            rowAt(c, unitAt(mList, m + down + i), cWidth) + at,
            tile + ((<usize>i) << 5),
            bytes(columns),
          )
      }
    }
  }
}

/** sums + factor * b; of int8, in integers. */
function accumulate<W>(sums: v128, factor: v128, b: v128): v128 {
  return isPaired<W>() ? multiplyPairs(sums, factor, b) : madd(sums, factor, b)
}

/** Four rows of C by eight columns, over one block of k. */
function multiplyTile<W>(
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
  const end = a + ((<usize>kSize) << 4)
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
    a += 16
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
