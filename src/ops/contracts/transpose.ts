/**
 * The contract of transpose: parameters, cost, gradients and bounds.
 */
import {
  defineStoredOp,
  input,
  output,
  sizes,
  stored,
  type StorageDescription,
  type Op,
  type Numbers,
} from '../op.ts'
import { transpose } from '../transpose.ts'

const kernel: StorageDescription<Parameters<typeof transpose>> = {
  formula: 'y[i,o] = x[o,i]',
  reference: transpose,
  flops: () => 0,
}

/** Op definition. */
export const transposeOp: Op<
  [y: Numbers, x: Numbers],
  { f32: typeof transpose; bf16: typeof transpose; f16: typeof transpose }
> = defineStoredOp('transpose', [stored(output('y', 'I O')), stored(input('x', 'O I')), ...sizes('O I')], {
  f32: kernel,
  bf16: kernel,
  f16: kernel,
})
