/**
 * transpose: y[i, o] = x[o, i]. Turns PyTorch's out_proj and fc2, one row per output, into input-major form at load.
 * transpose_bf16, transpose_f16: the same with patterns of half precision, which are moved as they are.
 */
import { defineOp, input, output, size, type Dtype, type Numbers, type Op } from './op.ts'

function move(y: Numbers, x: Numbers, O: number, I: number): void {
  for (let o = 0; o < O; o++) for (let i = 0; i < I; i++) y[i * O + o] = x[o * I + i]
}

/** y = xᵀ. */
export function transpose(
  y: Float32Array, // [I, O]
  x: Float32Array, // [O, I]
  O: number,
  I: number,
): void {
  move(y, x, O, I)
}

/** y = xᵀ of bf16 patterns. */
export function transpose_bf16(
  y: Uint16Array, // [I, O]
  x: Uint16Array, // [O, I]
  O: number,
  I: number,
): void {
  move(y, x, O, I)
}

/** y = xᵀ of f16 patterns. */
export function transpose_f16(
  y: Uint16Array, // [I, O]
  x: Uint16Array, // [O, I]
  O: number,
  I: number,
): void {
  move(y, x, O, I)
}

function rowOf<Args extends readonly unknown[]>(
  name: string,
  dtype: Dtype,
  reference: (...args: Args) => void,
): Op<Args> {
  return defineOp({
    name,
    formula: 'y[i,o] = x[o,i]',
    params: [output('y', 'I O', { dtype }), input('x', 'O I', { dtype }), size('O'), size('I')],
    reference,
    flops: () => 0,
  })
}

/** Catalogue row. */
export const transposeOp: Op<Parameters<typeof transpose>> = rowOf('transpose', 'f32', transpose)

/** Catalogue row. */
export const transposeBf16Op: Op<Parameters<typeof transpose_bf16>> = rowOf(
  'transpose_bf16',
  'bf16',
  transpose_bf16,
)

/** Catalogue row. */
export const transposeF16Op: Op<Parameters<typeof transpose_f16>> = rowOf(
  'transpose_f16',
  'f16',
  transpose_f16,
)
