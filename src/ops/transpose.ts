/**
 * transpose: y[i, o] = x[o, i]. Turns PyTorch's out_proj and fc2, one row per output, into input-major form at load.
 * Patterns of half precision are moved as they are.
 */
import {
  defineStoredOp,
  input,
  output,
  size,
  stored,
  type Numbers,
  type Op,
  type StorageDescription,
} from './op.ts'

/** y = xᵀ, of numbers of any kind. */
export function transpose(
  y: Numbers, // [I, O]
  x: Numbers, // [O, I]
  O: number,
  I: number,
): void {
  for (let o = 0; o < O; o++) for (let i = 0; i < I; i++) y[i * O + o] = x[o * I + i]
}

const kernel: StorageDescription<Parameters<typeof transpose>> = {
  formula: 'y[i,o] = x[o,i]',
  reference: transpose,
  flops: () => 0,
}

/** Op definition. */
export const transposeOp: Op<
  [y: Numbers, x: Numbers],
  { f32: typeof transpose; bf16: typeof transpose; f16: typeof transpose }
> = defineStoredOp(
  'transpose',
  [stored(output('y', 'I O')), stored(input('x', 'O I')), size('O'), size('I')],
  { f32: kernel, bf16: kernel, f16: kernel },
)
