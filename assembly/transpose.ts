/**
 * transpose: y[i, o] = x[o, i], in 4 x 4 blocks of shuffles.
 */
import { bytes } from './float32'
import { rowAt } from './units'

export function transpose(
  y: usize, // [I, O]
  x: usize, // [O, I]
  O: i32,
  I: i32,
): void {
  const wholeO = O & ~3
  const wholeI = I & ~3
  for (let o = 0; o < wholeO; o += 4) {
    for (let i = 0; i < wholeI; i += 4)
      transposeBlock(rowAt(y, i, O) + bytes(o), bytes(O), rowAt(x, o, I) + bytes(i), bytes(I))
    copyEdge(y, x, o, o + 4, wholeI, I, O, I)
  }
  copyEdge(y, x, wholeO, O, 0, I, O, I)
}

/** Element by element: rows oFrom..oTo, columns iFrom..iTo. */
function copyEdge(y: usize, x: usize, oFrom: i32, oTo: i32, iFrom: i32, iTo: i32, O: i32, I: i32): void {
  for (let o = oFrom; o < oTo; o++)
    for (let i = iFrom; i < iTo; i++)
      store<f32>(rowAt(y, i, O) + bytes(o), load<f32>(rowAt(x, o, I) + bytes(i)))
}

function transposeBlock(y: usize, yStride: usize, x: usize, xStride: usize): void {
  const row0 = v128.load(x)
  const row1 = v128.load(x + xStride)
  const row2 = v128.load(x + xStride * 2)
  const row3 = v128.load(x + xStride * 3)
  const low01 = v128.shuffle<f32>(row0, row1, 0, 4, 1, 5)
  const high01 = v128.shuffle<f32>(row0, row1, 2, 6, 3, 7)
  const low23 = v128.shuffle<f32>(row2, row3, 0, 4, 1, 5)
  const high23 = v128.shuffle<f32>(row2, row3, 2, 6, 3, 7)
  v128.store(y, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5))
  v128.store(y + yStride, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7))
  v128.store(y + yStride * 2, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5))
  v128.store(y + yStride * 3, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7))
}
