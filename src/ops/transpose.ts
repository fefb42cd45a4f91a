/**
 * transpose: y[i, o] = x[o, i]. Turns PyTorch's out_proj and fc2, one row per output, into input-major form at load.
 */
import { defineOp, input, output, size, type Op } from './op.ts'

/** y = xᵀ. */
export function transpose(
  y: Float32Array, // [I, O]
  x: Float32Array, // [O, I]
  O: number,
  I: number,
): void {
  for (let o = 0; o < O; o++) for (let i = 0; i < I; i++) y[i * O + o] = x[o * I + i]
}

/** Catalogue row. */
export const transposeOp: Op<Parameters<typeof transpose>> = defineOp({
  name: 'transpose',
  formula: 'y[i,o] = x[o,i]',
  params: [output('y', 'I O'), input('x', 'O I'), size('O'), size('I')],
  reference: transpose,
  flops: () => 0,
})
