/**
 * transpose_bf16, transpose_f16: y[i, o] = x[o, i] of two-byte elements in 8 x 8 blocks of shuffles.
 *
 * Blocks go down few enough rows of x that their lines stay in a cache until the next block needs the rest: rows of weights
 * are often a power of two apart, the worst case for a cache.
 */

/** Rows of x that are gone through side by side. */
const BAND: i32 = 64

export function transpose_bf16(
  y: usize, // [I, O] bf16
  x: usize, // [O, I] bf16
  O: i32,
  I: i32,
): void {
  transpose16(y, x, O, I)
}

export function transpose_f16(
  y: usize, // [I, O] f16
  x: usize, // [O, I] f16
  O: i32,
  I: i32,
): void {
  transpose16(y, x, O, I)
}

export function transpose16(y: usize, x: usize, O: i32, I: i32): void {
  const wholeO = O & ~7
  const wholeI = I & ~7
  for (let band = 0; band < wholeO; band += BAND) {
    const end = min(band + BAND, wholeO)
    for (let i = 0; i < wholeI; i += 8)
      for (let o = band; o < end; o += 8)
        transposeBlock(at(y, i, o, O), (<usize>O) << 1, at(x, o, i, I), (<usize>I) << 1)
  }
  copyEdge(y, x, 0, wholeO, wholeI, I, O, I)
  copyEdge(y, x, wholeO, O, 0, I, O, I)
}

/** The address of a number of a matrix whose rows hold `width` of them. */
function at(matrix: usize, row: i32, column: i32, width: i32): usize {
  return matrix + ((<usize>row * <usize>width + <usize>column) << 1)
}

/** Element by element: rows oFrom..oTo, columns iFrom..iTo. */
function copyEdge(y: usize, x: usize, oFrom: i32, oTo: i32, iFrom: i32, iTo: i32, O: i32, I: i32): void {
  for (let o = oFrom; o < oTo; o++)
    for (let i = iFrom; i < iTo; i++) store<u16>(at(y, i, o, O), load<u16>(at(x, o, i, I)))
}

/** The first halves of two registers, number by number in turns. */
function first16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
}

function last16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
}

/** The same with pairs of numbers. */
function first32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 0, 4, 1, 5)
}

function last32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 2, 6, 3, 7)
}

/** Two columns out of the first and the last four numbers of each. */
function storeTwo(y: usize, stride: usize, top: v128, bottom: v128): void {
  v128.store(y, v128.shuffle<i64>(top, bottom, 0, 2))
  v128.store(y + stride, v128.shuffle<i64>(top, bottom, 1, 3))
}

function transposeBlock(y: usize, yStride: usize, x: usize, xStride: usize): void {
  const row0 = v128.load(x)
  const row1 = v128.load(x + xStride)
  const row2 = v128.load(x + xStride * 2)
  const row3 = v128.load(x + xStride * 3)
  const row4 = v128.load(x + xStride * 4)
  const row5 = v128.load(x + xStride * 5)
  const row6 = v128.load(x + xStride * 6)
  const row7 = v128.load(x + xStride * 7)
  const a01 = first16(row0, row1)
  const a23 = first16(row2, row3)
  const a45 = first16(row4, row5)
  const a67 = first16(row6, row7)
  storeTwo(y, yStride, first32(a01, a23), first32(a45, a67))
  storeTwo(y + yStride * 2, yStride, last32(a01, a23), last32(a45, a67))
  const b01 = last16(row0, row1)
  const b23 = last16(row2, row3)
  const b45 = last16(row4, row5)
  const b67 = last16(row6, row7)
  storeTwo(y + yStride * 4, yStride, first32(b01, b23), first32(b45, b67))
  storeTwo(y + yStride * 6, yStride, last32(b01, b23), last32(b45, b67))
}
